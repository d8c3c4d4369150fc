// SPDX-License-Identifier: GPL-2.0-or-later
/* A UDP server that is bound to no address answers from the one that it was called by, and so by the adapter
 * of that. The guard lets such an answer through (is_reply). */
#include "route.h"

#define PACKET_HOST 0 /* include/uapi/linux/if_packet.h; the kernel's value for what is neither multicast nor broadcast */

struct caller {
	struct addr remote;
	u16 remote_port;
	u16 local_port;
};

struct call {
	struct addr local;
	u64 seen; /* ns of CLOCK_MONOTONIC */
};

/* By which address somebody called last. */
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct caller);
	TYPE(value, struct call);
} callers SEC(".maps");

/* UDP sockets are made as if they were tied to an address: an answer that names one is then looked up in the
 * table of the adapter that has it (ip rules `from`). In whatever order this and pr_create run. */
SEC("cgroup/sock_create")
int pr_answering(struct bpf_sock *sk)
{
	if (sk->protocol != PROTO_UDP || follows_other(sk))
		return 1;
	if (!cfg.namespace || get_netns_cookie(sk) == cfg.namespace)
		sk->mark |= cfg.mark | cfg.bound;
	return 1;
}

SEC("cgroup_skb/ingress")
int pr_called(struct __sk_buff *skb)
{
	struct caller caller = {};
	struct call call = {};
	struct bpf_sock *sk = skb->sk;
	u16 ports[2];
	u8 head[40];

	if (skb->ifindex == LOOPBACK || skb->pkt_type != PACKET_HOST || !sk)
		return 1;
	sk = sk_fullsock(sk);
	if (!sk || sk->protocol != PROTO_UDP || follows_other(sk))
		return 1;
	if (skb->protocol == be16(0x0800)) {
		if (skb_load_bytes(skb, 0, head, 20) || head[9] != PROTO_UDP)
			return 1;
		map4(&caller.remote, *(u32 *)(head + 12));
		map4(&call.local, *(u32 *)(head + 16));
		if (skb_load_bytes(skb, (head[0] & 15) * 4, ports, sizeof(ports)))
			return 1;
	} else {
		/* Behind extension headers nobody calls a server that answers. */
		if (skb_load_bytes(skb, 0, head, 40) || head[6] != PROTO_UDP)
			return 1;
		caller.remote = *(struct addr *)(head + 8);
		call.local = *(struct addr *)(head + 24);
		if (skb_load_bytes(skb, 40, ports, sizeof(ports)))
			return 1;
	}
	caller.remote_port = ports[0];
	caller.local_port = ports[1];
	call.seen = ktime_get_ns();
	map_update(&callers, &caller, &call, BPF_ANY);
	return 1;
}

/* The call that a datagram from an address that is left to the kernel answers, or null. */
INLINE const struct call *answered(struct bpf_sock_addr *ctx, struct caller *caller)
{
	struct bpf_sock *sk = ctx->sk;
	const struct call *call;

	if (!sk || follows_other(sk))
		return 0;
	caller->remote_port = ctx->user_port;
	caller->local_port = be16((u16)sk->src_port);
	call = map_lookup(&callers, caller);
	return call && ktime_get_ns() - call->seen < UDP_MEMORY_NS ? call : 0;
}

SEC("cgroup/sendmsg4")
int pr_answer4(struct bpf_sock_addr *ctx)
{
	struct caller caller = {};
	const struct call *call;

	if (ctx->msg_src_ip4)
		return 1;
	map4(&caller.remote, ctx->user_ip4);
	call = answered(ctx, &caller);
	if (call && is_mapped(&call->local))
		ctx->msg_src_ip4 = call->local.word[3];
	return 1;
}

SEC("cgroup/sendmsg6")
int pr_answer6(struct bpf_sock_addr *ctx)
{
	struct caller caller = {};
	const struct call *call;

	if (ctx->msg_src_ip6[0] | ctx->msg_src_ip6[1] | ctx->msg_src_ip6[2] | ctx->msg_src_ip6[3])
		return 1;
	caller.remote.word[0] = ctx->user_ip6[0];
	caller.remote.word[1] = ctx->user_ip6[1];
	caller.remote.word[2] = ctx->user_ip6[2];
	caller.remote.word[3] = ctx->user_ip6[3];
	call = answered(ctx, &caller);
	if (!call || is_mapped(&call->local))
		return 1;
	ctx->msg_src_ip6[0] = call->local.word[0];
	ctx->msg_src_ip6[1] = call->local.word[1];
	ctx->msg_src_ip6[2] = call->local.word[2];
	ctx->msg_src_ip6[3] = call->local.word[3];
	return 1;
}
