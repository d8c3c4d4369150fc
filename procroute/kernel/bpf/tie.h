/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bound bit: noted on a socket that is tied to an address on purpose (bound, or listening: clients come in
 * on any adapter). Who includes this says by `ties` which sockets that carry a mark of ours get it. */
#pragma once

#include "route.h"

INLINE int ties(void *ctx, u32 mark);

INLINE void tie(void *ctx, struct bpf_sock *sk)
{
	u32 mark;

	if (!sk)
		return;
	mark = sk->mark;
	if (!(mark & cfg.mask) || (mark & cfg.bound) || !ties(ctx, mark))
		return;
	mark |= cfg.bound;
	set_sockopt(ctx, LEVEL_SOCKET, SOCKET_MARK, &mark, sizeof(mark));
}

INLINE int bound4(struct bpf_sock_addr *ctx)
{
	struct addr a;

	map4(&a, ctx->user_ip4);
	if (!is_here(&a))
		tie(ctx, ctx->sk);
	return 1;
}

INLINE int bound6(struct bpf_sock_addr *ctx)
{
	struct addr a = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } };

	if (!is_here(&a))
		tie(ctx, ctx->sk);
	return 1;
}

/* The reply is not written: it may be that of another program. */
INLINE int listens(struct bpf_sock_ops *ctx)
{
	if (ctx->op == SOCK_OPS_LISTEN)
		tie(ctx, ctx->sk);
	return 1;
}
