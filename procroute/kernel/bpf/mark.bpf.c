// SPDX-License-Identifier: GPL-2.0-or-later
/* Mark a socket at birth, so that its first route look-up already knows the route, and note when it is
 * tied to an address on purpose (bound, or listening: clients come in on any adapter). */
#include "tie.h"

/* The cgroups whose processes have made a socket, by their ids; of so many the latest. */
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 1024);
	TYPE(key, u64);
	TYPE(value, u32);
} made SEC(".maps");

SEC("cgroup/sock_create")
int pr_create(struct bpf_sock *sk)
{
	u64 cgroup = get_current_cgroup_id();
	u32 yes = 1;

	if (!map_lookup(&made, &cgroup))
		map_update(&made, &cgroup, &yes, BPF_ANY);
	/* Subflows of MPTCP are sockets of the kernel that no program sees; TCP is what is left. */
	if (sk->protocol == PROTO_MPTCP)
		return refuse(ERR_PROTONOSUPPORT);
	/* The programs of the nearest cgroup run first: a mark of ours that is there wins. */
	if (!(sk->mark & cfg.mask))
		sk->mark |= cfg.namespace && get_netns_cookie(sk) != cfg.namespace ? cfg.bound : cfg.mark;
	return 1;
}

/* All that follow a route. */
INLINE int ties(void *ctx, u32 mark)
{
	(void)ctx;
	(void)mark;
	return 1;
}

SEC("cgroup/bind4")
int pr_bind4(struct bpf_sock_addr *ctx)
{
	return bound4(ctx);
}

SEC("cgroup/bind6")
int pr_bind6(struct bpf_sock_addr *ctx)
{
	return bound6(ctx);
}

SEC("sockops")
int pr_listen(struct bpf_sock_ops *ctx)
{
	return listens(ctx);
}
