// SPDX-License-Identifier: GPL-2.0-or-later
/* Nobody looks names up in a process's stead: nscd and systemd-resolved, which glibc asks over Unix sockets, would
 * ask on the machine's own way. As if they had no sockets, so glibc goes on to port 53 (nscd/nscd_helper.c,
 * nss-resolve(8)). Linux 6.7 has the hook (cgroup_unix_connect). Others may ask these daemons over D-Bus. */
#include "route.h"

#define LONGEST 40

/* What a context is within the kernel (include/linux/filter.h). Where its fields lie is found by name in the kernel's
 * BTF; uaddr is a struct sockaddr_un of uaddrlen bytes. */
struct bpf_sock_addr_kern {
	void *uaddr;
	u32 uaddrlen;
} BY_NAME;

struct address {
	u16 family;
	char path[LONGEST];
};

/* Whether an address of that many bytes is this path, with or without a zero behind it. */
#define IS(to, length, name) is(to, length, name, sizeof(name) - 1)
INLINE int is(const struct address *to, u32 length, const char *name, u32 size)
{
	char differs = 0;

#pragma clang loop unroll(full)
	for (u32 at = 0; at < size; at++)
		differs |= to->path[at] ^ name[at];
	return !differs && (length == sizeof(to->family) + size || (length > sizeof(to->family) + size && !to->path[size]));
}

SEC("cgroup/connect4")
int pr_helper(struct bpf_sock_addr *ctx)
{
	const struct bpf_sock_addr_kern *within = (const void *)ctx;
	struct address to = {};
	void *given;
	u32 length;

	if (cfg.magic != MAGIC)
		return 1;
	if (probe_read_kernel(&given, sizeof(given), (const char *)ctx + OFFSET(within->uaddr)) ||
	    probe_read_kernel(&length, sizeof(length), (const char *)ctx + OFFSET(within->uaddrlen)) ||
	    probe_read_kernel(&to, sizeof(to), given))
		return 1;
	if (IS(&to, length, "/run/nscd/socket") || IS(&to, length, "/var/run/nscd/socket") ||
	    IS(&to, length, "/run/systemd/resolve/io.systemd.Resolve"))
		return refuse(ERR_NOENT);
	return 1;
}
