// SPDX-License-Identifier: GPL-2.0-or-later
/* Name look-ups of a route go to its adapter's servers: port 53 of the system's resolvers and of loopback is
 * rewritten where a socket connects or sends, and back where it learns who answered. */
#include "route.h"

#define SERVERS 3
#define DNS be16(53)

/* Slots beyond the count are unused; the fourth only keeps the index a mask away from its bound. */
struct servers {
	u32 count4;
	u32 count6;
	struct addr v4[SERVERS + 1];
	struct addr v6[SERVERS + 1];
};

/* One element: replaced as a whole, so a look-up never sees half a change. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct servers);
} servers SEC(".maps");

/* The system's resolvers and the servers themselves. Value: IS_SERVER, or which resolver it is, from 0; what
 * is both has both. NO_RESOLVER: a server only. */
#define IS_SERVER 0x80000000
#define NO_RESOLVER 0xffff

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 128);
	TYPE(key, struct addr);
	TYPE(value, u32);
} resolvers SEC(".maps");

struct asked {
	u64 cookie;
	struct addr server;
};

/* Whom the socket meant when it was sent to that server; of several, the last one. */
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct asked);
	TYPE(value, struct addr);
} back SEC(".maps");

/* Families that a socket can be sent to by this hook. */
enum { TO_V4 = 1, TO_V6 = 2 };
enum verdict { LEAVE, REWRITE, REFUSE };

/* Where a packet or connection to `to`, port 53, goes instead. */
INLINE enum verdict redirect(void *ctx, struct addr *to, int families)
{
	const struct servers *s;
	const u32 *known;
	struct asked asked = {};
	u32 key = 0, which = 0;

	/* Always so, and it makes these programs known as ours: they carry cfg. */
	if (cfg.magic != MAGIC)
		return LEAVE;
	known = map_lookup(&resolvers, to);
	if (known) {
		which = *known;
		/* Also sends of a connected IPv6 socket to the IPv4 server that connect() chose. */
		if (which & IS_SERVER)
			return LEAVE;
	} else if (!is_here(to)) {
		return LEAVE;
	}
	s = map_lookup(&servers, &key);
	if (!s)
		return REFUSE;

	int v4 = (families & TO_V4) && s->count4, v6 = (families & TO_V6) && s->count6;

	if (v4 && (is_mapped(to) || !v6)) {
		which %= s->count4;
		asm volatile("" : "+r"(which));
		asked.server = s->v4[which & SERVERS];
	} else if (v6) {
		which %= s->count6;
		asm volatile("" : "+r"(which));
		asked.server = s->v6[which & SERVERS];
	} else {
		return REFUSE;
	}
	asked.cookie = get_socket_cookie(ctx);
	map_update(&back, &asked, to, BPF_ANY);
	*to = asked.server;
	return REWRITE;
}

/* Whom the socket meant by the server `from`. Returns 0 when nobody else. */
INLINE int original(void *ctx, struct addr *from)
{
	struct asked asked = { .server = *from };
	const struct addr *meant;

	if (cfg.magic != MAGIC)
		return 0;
	asked.cookie = get_socket_cookie(ctx);
	meant = map_lookup(&back, &asked);
	if (!meant)
		return 0;
	*from = *meant;
	return 1;
}

INLINE int go4(struct bpf_sock_addr *ctx)
{
	struct addr to;

	if ((u16)ctx->user_port != DNS || (ctx->sk && follows_other(ctx->sk)))
		return 1;
	map4(&to, ctx->user_ip4);
	switch (redirect(ctx, &to, TO_V4)) {
	case REWRITE:
		ctx->user_ip4 = to.word[3];
		return 1;
	case REFUSE:
		return refuse(ERR_NETUNREACH);
	default:
		return 1;
	}
}

INLINE void read6(struct bpf_sock_addr *ctx, struct addr *a)
{
	a->word[0] = ctx->user_ip6[0];
	a->word[1] = ctx->user_ip6[1];
	a->word[2] = ctx->user_ip6[2];
	a->word[3] = ctx->user_ip6[3];
}

INLINE void write6(struct bpf_sock_addr *ctx, const struct addr *a)
{
	ctx->user_ip6[0] = a->word[0];
	ctx->user_ip6[1] = a->word[1];
	ctx->user_ip6[2] = a->word[2];
	ctx->user_ip6[3] = a->word[3];
}

INLINE int go6(struct bpf_sock_addr *ctx, int families)
{
	struct addr to;

	if ((u16)ctx->user_port != DNS || (ctx->sk && follows_other(ctx->sk)))
		return 1;
	read6(ctx, &to);
	switch (redirect(ctx, &to, families)) {
	case REWRITE:
		write6(ctx, &to);
		return 1;
	case REFUSE:
		return refuse(ERR_NETUNREACH);
	default:
		return 1;
	}
}

INLINE int back4(struct bpf_sock_addr *ctx)
{
	struct addr from;

	if ((u16)ctx->user_port != DNS)
		return 1;
	map4(&from, ctx->user_ip4);
	if (original(ctx, &from) && is_mapped(&from))
		ctx->user_ip4 = from.word[3];
	return 1;
}

INLINE int back6(struct bpf_sock_addr *ctx)
{
	struct addr from;

	if ((u16)ctx->user_port != DNS)
		return 1;
	read6(ctx, &from);
	if (original(ctx, &from))
		write6(ctx, &from);
	return 1;
}

SEC("cgroup/connect4")
int pr_connect4(struct bpf_sock_addr *ctx)
{
	return go4(ctx);
}

/* connect() looks at the family of the address after us: each can become the other. */
SEC("cgroup/connect6")
int pr_connect6(struct bpf_sock_addr *ctx)
{
	return go6(ctx, TO_V4 | TO_V6);
}

SEC("cgroup/sendmsg4")
int pr_sendmsg4(struct bpf_sock_addr *ctx)
{
	return go4(ctx);
}

/* sendto() has chosen the family by now, and v4-mapped addresses went to sendmsg4. */
SEC("cgroup/sendmsg6")
int pr_sendmsg6(struct bpf_sock_addr *ctx)
{
	return go6(ctx, TO_V6);
}

SEC("cgroup/recvmsg4")
int pr_recvmsg4(struct bpf_sock_addr *ctx)
{
	return back4(ctx);
}

SEC("cgroup/recvmsg6")
int pr_recvmsg6(struct bpf_sock_addr *ctx)
{
	return back6(ctx);
}

SEC("cgroup/getpeername4")
int pr_getpeername4(struct bpf_sock_addr *ctx)
{
	return back4(ctx);
}

SEC("cgroup/getpeername6")
int pr_getpeername6(struct bpf_sock_addr *ctx)
{
	return back6(ctx);
}
