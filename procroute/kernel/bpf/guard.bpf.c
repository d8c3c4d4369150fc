// SPDX-License-Identifier: GPL-2.0-or-later
/* The door of a route: what leaves by another adapter is counted and dropped, except for what belongs
 * there (LAN, link-local, replies to those who came in by that adapter); so is what an unbound UDP socket
 * would send from the address of another adapter. */
#include "route.h"

#define ADAPTERS 4
#define LAN_ADAPTERS 4
#define LOOPBACK 1 /* LOOPBACK_IFINDEX: the same in every network namespace */
#define UDP_MEMORY_NS (180ull * 1000 * 1000 * 1000)
#define EXTENSIONS 3
#define EXTENSION_HEADERS (1ull << PROTO_HOPOPTS | 1ull << PROTO_ROUTING | 1ull << PROTO_DSTOPTS)

/* ifindexes of the route; loopback where unused. */
struct door {
	u32 adapter[ADAPTERS];
};

SEC(".data.door") struct door door = { { LOOPBACK, LOOPBACK, LOOPBACK, LOOPBACK } };

struct prefix {
	u32 length; /* IPv4: 96 more */
	struct addr address;
};

/* Adapters by which a LAN prefix may be reached; unused: 0; the first one 0: by any. */
struct lan {
	u32 adapter[LAN_ADAPTERS];
};

struct {
	NUMBER(type, MAP_LPM_TRIE);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 8192);
	TYPE(key, struct prefix);
	TYPE(value, struct lan);
} lan SEC(".maps");

/* Addresses of the machine's other adapters. Value: the ifindex. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 4096);
	TYPE(key, struct addr);
	TYPE(value, u32);
} others SEC(".maps");

/* Packets dropped, by the adapter they would have left by, or whose address they carried. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u64);
} drops SEC(".maps");

/* A conversation that somebody else began on an adapter that is not the route's. */
struct talk {
	u32 ifindex;
	u16 family;
	u16 protocol;
	u16 remote_port;
	u16 local_port;
	struct addr remote;
	struct addr local;
};

/* Value: when its last packet came in, ns of CLOCK_MONOTONIC. */
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct talk);
	TYPE(value, u64);
} replies SEC(".maps");

struct header4 {
	u8 version_length;
	u8 tos;
	u16 total;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 from;
	u32 to;
};

struct header6 {
	u32 version_flow;
	u16 payload;
	u8 next;
	u8 hops;
	struct addr from;
	struct addr to;
};

struct extension {
	u8 next;
	u8 length; /* in units of 8 octets, without the first */
};

/* The head that UDP and TCP have in common, and TCP's flags. */
struct ports {
	u16 from;
	u16 to;
};

#define TCP_FLAGS 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10

INLINE int of_route(u32 ifindex)
{
	return ifindex == LOOPBACK || ifindex == door.adapter[0] || ifindex == door.adapter[1] ||
	       ifindex == door.adapter[2] || ifindex == door.adapter[3];
}

/* An IP packet as the guard sees it. `at` is where the transport header begins, 0 where it has none that
 * we know: a fragment, an unknown extension header. */
struct packet {
	u16 family;
	u16 protocol;
	u32 at;
	struct addr from;
	struct addr to;
};

/* Returns 0 when the headers were read. */
APART int read_packet(struct __sk_buff *skb, struct packet *p)
{
	if (skb->protocol == be16(0x0800)) {
		struct header4 h;

		if (skb_load_bytes(skb, 0, &h, sizeof(h)))
			return -1;
		p->family = FAMILY_INET;
		p->protocol = h.protocol;
		p->at = h.fragment & be16(0x1fff) ? 0 : (h.version_length & 15) * 4;
		map4(&p->from, h.from);
		map4(&p->to, h.to);
		return 0;
	}
	if (skb->protocol == be16(0x86dd)) {
		struct header6 h;
		u8 next;

		if (skb_load_bytes(skb, 0, &h, sizeof(h)))
			return -1;
		p->family = FAMILY_INET6;
		p->from = h.from;
		p->to = h.to;
		p->at = sizeof(h);
		next = h.next;
#pragma unroll
		for (int i = 0; i < EXTENSIONS; i++) {
			struct extension e;

			if (next > 63 || !(EXTENSION_HEADERS >> next & 1))
				break;
			if (skb_load_bytes(skb, p->at, &e, sizeof(e)))
				return -1;
			next = e.next;
			p->at += (e.length + 1) * 8;
		}
		p->protocol = next;
		return 0;
	}
	return -1;
}

/* Multicast, broadcast and link-local are of one link by nature. */
INLINE int of_link(const struct addr *a)
{
	if (is_mapped(a)) {
		u32 to = be32(a->word[3]);

		return (to >> 28) == 0xe || to == 0xffffffff || (to >> 16) == 0xa9fe;
	}
	u32 head = be32(a->word[0]);

	return (head >> 24) == 0xff || (head >> 22) == (0xfe80 >> 6);
}

INLINE int of_lan(const struct packet *p, u32 ifindex)
{
	struct prefix key = { 128, p->to };
	const struct lan *l = map_lookup(&lan, &key);

	if (!l)
		return 0;
	return l->adapter[0] == 0 || l->adapter[0] == ifindex || l->adapter[1] == ifindex ||
	       l->adapter[2] == ifindex || l->adapter[3] == ifindex;
}

INLINE int is_reply(struct __sk_buff *skb, const struct packet *p)
{
	struct talk talk = { .ifindex = skb->ifindex, .family = p->family, .protocol = p->protocol };
	struct ports ports;
	u64 *seen;
	u8 flags;

	if (!p->at || (p->protocol != PROTO_TCP && p->protocol != PROTO_UDP))
		return 0;
	if (skb_load_bytes(skb, p->at, &ports, sizeof(ports)))
		return 0;
	if (p->protocol == PROTO_TCP) {
		if (skb_load_bytes(skb, p->at + TCP_FLAGS, &flags, sizeof(flags)))
			return 0;
		if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return 0;
	}
	talk.remote = p->to;
	talk.local = p->from;
	talk.remote_port = ports.to;
	talk.local_port = ports.from;
	seen = map_lookup(&replies, &talk);
	if (!seen)
		return 0;
	return p->protocol == PROTO_TCP || ktime_get_ns() - *seen < UDP_MEMORY_NS;
}

INLINE int drop(u32 ifindex)
{
	u64 *count = map_lookup(&drops, &ifindex);

	if (count) {
		__sync_fetch_and_add(count, 1);
	} else {
		u64 one = 1;

		map_update(&drops, &ifindex, &one, BPF_ANY);
	}
	return 0;
}

/* Apart, so that the programs themselves, run for every packet, save no registers. */
APART int leaves_elsewhere(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	struct packet p = {};

	if (cfg.strict || read_packet(skb, &p))
		return drop(ifindex);
	if (of_link(&p.to) || of_lan(&p, ifindex) || is_reply(skb, &p))
		return 1;
	return drop(ifindex);
}

/* Remember who came in by another adapter. TCP: only to sockets that listen or were made by one that does
 * (the bound bit is handed down), never the far end of a connection that the command itself began. */
APART int comes_elsewhere(struct __sk_buff *skb)
{
	struct packet p = {};
	struct talk talk = {};
	struct ports ports;
	struct bpf_sock *sk;
	u64 now;

	if (cfg.strict || read_packet(skb, &p) || !p.at)
		return 1;
	if (p.protocol != PROTO_TCP && p.protocol != PROTO_UDP)
		return 1;
	sk = skb->sk;
	if (!sk)
		return 1;
	sk = sk_fullsock(sk);
	/* A raw socket sees the packets of others. */
	if (!sk || sk->protocol != p.protocol)
		return 1;
	if (p.protocol == PROTO_TCP && sk->state != STATE_LISTEN && !(sk->mark & cfg.bound))
		return 1;
	if (skb_load_bytes(skb, p.at, &ports, sizeof(ports)))
		return 1;
	talk.ifindex = skb->ifindex;
	talk.family = p.family;
	talk.protocol = p.protocol;
	talk.remote = p.from;
	talk.local = p.to;
	talk.remote_port = ports.from;
	talk.local_port = ports.to;
	now = ktime_get_ns();
	map_update(&replies, &talk, &now, BPF_ANY);
	return 1;
}

SEC("cgroup_skb/egress")
int pr_egress(struct __sk_buff *skb)
{
	if (of_route(skb->ifindex))
		return 1;
	return leaves_elsewhere(skb) != 0;
}

SEC("cgroup_skb/ingress")
int pr_ingress(struct __sk_buff *skb)
{
	if (!of_route(skb->ifindex))
		comes_elsewhere(skb);
	return 1;
}

/* Whether `to` may be sent to from any address: the machine itself, the link, the LAN by another adapter. */
INLINE int is_near(const struct addr *to)
{
	struct prefix key = { 128, *to };
	const struct lan *l;

	if (is_here(to) || map_lookup(&others, to))
		return 1;
	if (cfg.strict)
		return 0;
	if (of_link(to))
		return 1;
	l = map_lookup(&lan, &key);
	return l && !of_route(l->adapter[0]);
}

/* Of a datagram with a source that is set. Port 53 is never near: the look-up programs run after us, and may
 * send it to the route's server. */
APART int may_carry(const struct addr *from, const struct addr *to, u32 port)
{
	const u32 *owner = map_lookup(&others, from);

	if (!owner || (port != be16(53) && is_near(to)))
		return 1;
	return drop(*owner);
}

/* The source is what IP_PKTINFO names, or the socket's own: where it was bound to (the bound bit: ip rules and
 * the egress guard see to those), or what connect() chose. A send without an address goes to where the socket
 * is connected. */
SEC("cgroup/sendmsg4")
int pr_source4(struct bpf_sock_addr *ctx)
{
	struct addr from, to;
	struct bpf_sock *sk;
	u32 ip4;

	if (!ctx->msg_src_ip4)
		return 1;
	sk = ctx->sk;
	if (!sk || (sk->mark & cfg.bound))
		return 1;
	map4(&from, ctx->msg_src_ip4);
	ip4 = ctx->user_ip4;
	if (!ip4)
		ip4 = sk->dst_ip4;
	map4(&to, ip4);
	return may_carry(&from, &to, (u16)ctx->user_port) != 0;
}

SEC("cgroup/sendmsg6")
int pr_source6(struct bpf_sock_addr *ctx)
{
	struct addr from = { { ctx->msg_src_ip6[0], ctx->msg_src_ip6[1], ctx->msg_src_ip6[2],
			       ctx->msg_src_ip6[3] } };
	struct addr to;
	struct bpf_sock *sk;

	if (!(from.word[0] | from.word[1] | from.word[2] | from.word[3]))
		return 1;
	sk = ctx->sk;
	if (!sk || (sk->mark & cfg.bound))
		return 1;
	to.word[0] = ctx->user_ip6[0];
	to.word[1] = ctx->user_ip6[1];
	to.word[2] = ctx->user_ip6[2];
	to.word[3] = ctx->user_ip6[3];
	if (!(to.word[0] | to.word[1] | to.word[2] | to.word[3])) {
		to.word[0] = sk->dst_ip6[0];
		to.word[1] = sk->dst_ip6[1];
		to.word[2] = sk->dst_ip6[2];
		to.word[3] = sk->dst_ip6[3];
	}
	return may_carry(&from, &to, (u16)ctx->user_port) != 0;
}
