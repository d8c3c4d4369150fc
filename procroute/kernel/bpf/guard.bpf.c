// SPDX-License-Identifier: GPL-2.0-or-later
/* The door of a route: what leaves by another adapter is counted and dropped, except for what belongs
 * there (LAN, link-local, replies to those who came in by that adapter); so is what leaves by the route's own
 * adapter from the address of another one, except for replies to those who called that address. */
#include "route.h"

#define ADAPTERS 4
#define LAN_ADAPTERS 4
#define EXTENSIONS 3
#define EXTENSION_HEADERS (1ull << PROTO_HOPOPTS | 1ull << PROTO_ROUTING | 1ull << PROTO_DSTOPTS)
#define OWN4 4
#define OWN6 8

/* adapter: ifindexes of the route; loopback where unused. present: the one that it leaves by now; own4, own6:
 * addresses of that, so that most packets are done without a look-up; unused: no address, which may leave, too
 * (DHCP, DAD). */
struct door {
	u32 adapter[ADAPTERS];
	u32 present;
	u32 own4[OWN4];
	struct addr own6[OWN6];
};

SEC(".data.door") struct door door = { .adapter = { LOOPBACK, LOOPBACK, LOOPBACK, LOOPBACK }, .present = LOOPBACK };

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
	NUMBER(max_entries, 1 << 20); /* memory is taken by what is in it */
	TYPE(key, struct prefix);
	TYPE(value, struct lan);
} lan SEC(".maps");

/* The machine's addresses, each a prefix of full length: a trie of any size costs what is in it, a hash table
 * its whole size. Value: the ifindex of the adapter. */
struct {
	NUMBER(type, MAP_LPM_TRIE);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1 << 20);
	TYPE(key, struct prefix);
	TYPE(value, u32);
} addresses SEC(".maps");

/* Packets dropped, by the adapter they would have left by, or whose address they carried. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 64);
	TYPE(key, u32);
	TYPE(value, u64);
} drops SEC(".maps");

/* What went out (0) and came in (1) by whatever adapter but loopback. Of each CPU, so that none waits for another.
 * bytes: with the IP header; of what the kernel handles as one and the wire carries in pieces, with one. */
struct traffic {
	u64 packets;
	u64 bytes;
};

struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, struct traffic);
} traffic SEC(".maps");

enum { OUT, IN };

/* A conversation that somebody else began by an adapter, or with an address, that is not the route's. */
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

struct option {
	u8 kind;
	u8 size;
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

/* Whether a packet's source, or its destination, is surely an address of the present adapter, or a multicast one. */
INLINE int is_own(struct __sk_buff *skb, int destination)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (skb->protocol == be16(0x0800)) {
		const struct header4 *h = data;

		if ((const void *)(h + 1) > end)
			return 0;
		u32 a = destination ? h->to : h->from;

		return a == door.own4[0] || a == door.own4[1] || a == door.own4[2] || a == door.own4[3] ||
		       (destination && (be32(a) >> 28) == 0xe);
	}
	const struct header6 *h = data;

	if ((const void *)(h + 1) > end)
		return 0;
	const struct addr *a = destination ? &h->to : &h->from;

#pragma unroll
	for (int i = 0; i < OWN6; i++) {
		const struct addr *own = &door.own6[i];

		if (!((a->word[3] ^ own->word[3]) | (a->word[2] ^ own->word[2]) | (a->word[1] ^ own->word[1]) |
		      (a->word[0] ^ own->word[0])))
			return 1;
	}
	return destination && (be32(a->word[0]) >> 24) == 0xff;
}

/* An IP packet as the guard sees it. `at` is where the transport header begins, 0 where it has none that
 * we know: a fragment, an unknown extension header. steered: it names another destination, to which it goes
 * on from `to`. */
struct packet {
	u16 family;
	u16 protocol;
	u32 at;
	u32 steered;
	struct addr from;
	struct addr to;
};

INLINE int is_extension(u8 header)
{
	return header <= 63 && (EXTENSION_HEADERS >> header & 1);
}

/* Whether there is a source route (RFC 791) in the options of an IPv4 header that ends at `end`, or may be:
 * only the first option is looked at, and nothing but padding may follow it. That is how all real ones are,
 * and short for the verifier. */
INLINE int has_source_route(struct __sk_buff *skb, u32 end)
{
	struct option option = { .kind = OPTION_NOOP };
	u32 at = sizeof(struct header4);

#pragma unroll
	for (int i = 0; i < 3; i++) {
		if (option.kind == OPTION_NOOP && skb_load_bytes(skb, at++, &option, sizeof(option)))
			return 1;
	}
	if (option.kind == OPTION_END)
		return 0;
	return option.kind == OPTION_NOOP || option.kind == OPTION_LSRR || option.kind == OPTION_SSRR ||
	       at + option.size + 2 < end;
}

/* Returns 0 when the headers were read. steered is only found where it is asked for. */
INLINE int read_packet(struct __sk_buff *skb, struct packet *p, int find_steered)
{
	if (skb->protocol == be16(0x0800)) {
		struct header4 h;

		if (skb_load_bytes(skb, 0, &h, sizeof(h)))
			return -1;
		p->family = FAMILY_INET;
		p->protocol = h.protocol;
		p->at = h.fragment & be16(0x1fff) ? 0 : (h.version_length & 15) * 4;
		if (find_steered && (h.version_length & 15) > 5)
			p->steered = has_source_route(skb, (h.version_length & 15) * 4);
		map4(&p->from, h.from);
		map4(&p->to, h.to);
		return 0;
	}
	if (skb->protocol == be16(0x86dd)) {
		struct extension e;
		struct header6 h;
		u64 seen = 0;
		u8 next;

		if (skb_load_bytes(skb, 0, &h, sizeof(h)))
			return -1;
		/* Such addresses stand for IPv4 here; no IPv6 packet should have one (RFC 4942, 2.2). */
		if (is_mapped(&h.from) | is_mapped(&h.to))
			return -1;
		p->family = FAMILY_INET6;
		p->from = h.from;
		p->to = h.to;
		p->at = sizeof(h);
		next = h.next;
#pragma unroll
		for (int i = 0; i < EXTENSIONS; i++) {
			if (!is_extension(next))
				break;
			if (skb_load_bytes(skb, p->at, &e, sizeof(e)))
				return -1;
			seen |= 1ull << next;
			next = e.next;
			p->at += (e.length + 1) * 8;
		}
		if (next == PROTO_FRAGMENT) {
			if (skb_load_bytes(skb, p->at, &e, sizeof(e)))
				return -1;
			next = e.next;
			p->at = 0;
		}
		/* There may be a routing header among those that were not looked at. */
		if (find_steered)
			p->steered = (seen >> PROTO_ROUTING & 1) || is_extension(next) || next == PROTO_FRAGMENT;
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

INLINE int of_lan(const struct addr *to, u32 ifindex)
{
	struct prefix key = { 128, *to };
	const struct lan *l = map_lookup(&lan, &key);

	if (!l)
		return 0;
	return l->adapter[0] == 0 || l->adapter[0] == ifindex || l->adapter[1] == ifindex ||
	       l->adapter[2] == ifindex || l->adapter[3] == ifindex;
}

/* The adapter that has an address of the machine, or null. */
INLINE const u32 *owner_of(const struct addr *a)
{
	struct prefix key = { 128, *a };

	return map_lookup(&addresses, &key);
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

/* Whether a packet is of a socket for which this is not the door any more, or never was (route.h). */
INLINE int is_foreign(struct bpf_sock *sk)
{
	if (!sk)
		return 0;
	sk = sk_fullsock(sk);
	return sk && follows_other(sk);
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

/* What leaves by another adapter, or perhaps from an address that is not the route's. Apart, so that the programs themselves, run
 * for every packet, save no registers. */
APART int may_leave(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, owner = ifindex;
	struct packet p = {};

	if (read_packet(skb, &p, 1))
		return drop(ifindex);
	if (is_foreign(skb->sk))
		return 1;
	if (of_route(ifindex)) {
		const u32 *found = owner_of(&p.from);

		if ((found && *found == ifindex) || of_link(&p.from))
			return 1;
		if (found)
			owner = *found;
	} else if (cfg.strict || p.steered) {
		return drop(ifindex);
	} else if (of_link(&p.to) || of_lan(&p.to, ifindex)) {
		return 1;
	}
	return is_reply(skb, &p) ? 1 : drop(owner);
}

/* Remember who called by another adapter, or another's address. TCP: only to sockets that listen or were made
 * by one that does (the bound bit is handed down), never the far end of a connection that the command itself
 * began. */
APART int comes_elsewhere(struct __sk_buff *skb)
{
	struct packet p = {};
	struct talk talk = {};
	struct ports ports;
	struct bpf_sock *sk;
	u64 now;

	if (cfg.strict && !of_route(skb->ifindex))
		return 1;
	if (read_packet(skb, &p, 0) || !p.at)
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

INLINE void count(const struct __sk_buff *skb, u32 way)
{
	struct traffic *t = map_lookup(&traffic, &way);

	if (!t)
		return;
	t->packets += skb->gso_segs ? skb->gso_segs : 1;
	t->bytes += skb->len;
}

SEC("cgroup_skb/egress")
int pr_egress(struct __sk_buff *skb)
{
	if (skb->ifindex == LOOPBACK)
		return 1;
	if ((skb->ifindex != door.present || !is_own(skb, 0)) && !may_leave(skb))
		return 0;
	count(skb, OUT);
	return 1;
}

SEC("cgroup_skb/ingress")
int pr_ingress(struct __sk_buff *skb)
{
	if (skb->ifindex == LOOPBACK)
		return 1;
	if (skb->ifindex != door.present || !is_own(skb, 1))
		comes_elsewhere(skb);
	count(skb, IN);
	return 1;
}

/* Whether a connection may be tried: the guard would drop its SYN, and TCP would not tell before its time is up.
 * What is not sure passes, the guard sees it again. device: the socket is tied to it, 0: to none. */
APART int may_connect(const struct addr *from, const struct addr *to, u32 device)
{
	const u32 *owner = owner_of(to);

	if (is_here(to) || (owner && (!device || *owner == device)))
		return 1;
	if (device && !of_route(device)) {
		if (!cfg.strict && (of_link(to) || of_lan(to, device)))
			return 1;
		return drop(device);
	}
	owner = owner_of(from);
	if (!owner || (device ? *owner == device : of_route(*owner)))
		return 1;
	if (!cfg.strict && !device) {
		struct prefix key = { 128, *to };
		const struct lan *l = map_lookup(&lan, &key);

		if (of_link(to) || (l && !of_route(l->adapter[0])))
			return 1;
	}
	return drop(*owner);
}

SEC("cgroup/connect4")
int pr_attempt4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct addr from, to;

	if (!sk || ctx->protocol != PROTO_TCP || !(sk->bound_dev_if | sk->src_ip4) || follows_other(sk))
		return 1;
	map4(&from, sk->src_ip4);
	map4(&to, ctx->user_ip4);
	return may_connect(&from, &to, sk->bound_dev_if) ? 1 : refuse(ERR_NETUNREACH);
}

SEC("cgroup/connect6")
int pr_attempt6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct addr from, to;

	if (!sk || ctx->protocol != PROTO_TCP || follows_other(sk))
		return 1;
	from.word[0] = sk->src_ip6[0];
	from.word[1] = sk->src_ip6[1];
	from.word[2] = sk->src_ip6[2];
	from.word[3] = sk->src_ip6[3];
	if (!(sk->bound_dev_if | from.word[0] | from.word[1] | from.word[2] | from.word[3]))
		return 1;
	to.word[0] = ctx->user_ip6[0];
	to.word[1] = ctx->user_ip6[1];
	to.word[2] = ctx->user_ip6[2];
	to.word[3] = ctx->user_ip6[3];
	return may_connect(&from, &to, sk->bound_dev_if) ? 1 : refuse(ERR_NETUNREACH);
}
