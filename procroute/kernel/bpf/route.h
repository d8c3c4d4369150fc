/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs of a route share. The layouts are read and written by layout.py: change both, and
 * MAGIC with them, so that programs of another version are not taken for ours. */
#pragma once

#include "uapi.h"

#define MAGIC 0x70720005

/* Fixed when the programs are loaded; the verifier folds it into the code. */
struct cfg {
	u32 magic;
	u32 mark;   /* the route's number, in its place */
	u32 mask;   /* all bits of ours */
	u32 bound;  /* one of them: tied to an address on purpose */
	u32 strict; /* nothing but the adapters and loopback */
	u32 retval; /* the kernel has bpf_set_retval() in these hooks (6.1 on) */
	u64 namespace; /* the cookie of the route's network namespace; 0: not known (before 5.14) */
};

SEC(".rodata") const volatile struct cfg cfg = { .magic = MAGIC };

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d, in network order. */
struct addr {
	u32 word[4];
};

#define MAPPED be32(0xffff)
#define LOOPBACK 1 /* LOOPBACK_IFINDEX: the same in every network namespace */
/* So long a datagram counts as an answer to one that came in. */
#define UDP_MEMORY_NS (180ull * 1000 * 1000 * 1000)

/* Without short cuts: fewer paths for the verifier, which is most of the time of loading. */
INLINE int is_mapped(const struct addr *a)
{
	return (a->word[0] | a->word[1] | (a->word[2] ^ MAPPED)) == 0;
}

INLINE void map4(struct addr *a, u32 ip4)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = MAPPED;
	a->word[3] = ip4;
}

/* No address, or one of loopback. */
INLINE int is_here(const struct addr *a)
{
	if (is_mapped(a))
		return (a->word[3] & be32(0xff000000)) == be32(0x7f000000) || a->word[3] == 0;
	return (a->word[0] | a->word[1] | a->word[2] | (a->word[3] & ~be32(1))) == 0;
}

/* Refuse an operation: return this from the program. */
INLINE int refuse(int error)
{
	if (cfg.retval)
		set_retval(-error);
	return 0;
}

/* Whether a socket follows another route, or none: moved or let go since it was made (by then in no cgroup of
 * this one's, which a socket never notices), or made in a network namespace of CMD's own, where the numbers of
 * adapters, marks and addresses mean something else. It carries bits of ours, and not this route's number; where it
 * follows none, the bound bit alone. */
INLINE int follows_other(const struct bpf_sock *sk)
{
	u32 ours = sk->mark & cfg.mask;

	return ours && (ours & ~cfg.bound) != cfg.mark;
}

SEC("license") char _license[] = "GPL";
