// SPDX-License-Identifier: GPL-2.0-or-later
/* Mark a socket at birth, so that its first route look-up already knows the route, and note when it is
 * tied to an address on purpose (bound, or listening: clients come in on any adapter). */
#include "route.h"

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

/* Set the bound bit on a socket that follows a route. */
INLINE void tie(void *ctx, struct bpf_sock *sk)
{
	u32 mark;

	if (!sk)
		return;
	mark = sk->mark;
	if (!(mark & cfg.mask) || (mark & cfg.bound))
		return;
	mark |= cfg.bound;
	set_sockopt(ctx, LEVEL_SOCKET, SOCKET_MARK, &mark, sizeof(mark));
}

SEC("cgroup/bind4")
int pr_bind4(struct bpf_sock_addr *ctx)
{
	struct addr a;

	map4(&a, ctx->user_ip4);
	if (!is_here(&a))
		tie(ctx, ctx->sk);
	return 1;
}

SEC("cgroup/bind6")
int pr_bind6(struct bpf_sock_addr *ctx)
{
	struct addr a = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } };

	if (!is_here(&a))
		tie(ctx, ctx->sk);
	return 1;
}

/* The reply is not written: it may be that of another program. */
SEC("sockops")
int pr_listen(struct bpf_sock_ops *ctx)
{
	if (ctx->op == SOCK_OPS_LISTEN)
		tie(ctx, ctx->sk);
	return 1;
}
