/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of the kernel's BPF interface that the programs use, so that clang alone builds the same
 * bytes on every machine. Names, layouts and numbers: include/uapi/linux/bpf.h, in.h, in6.h, ip.h, tcp.h. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
/* Of what is within the kernel: where fields lie is found by name in the kernel's BTF. */
#define BY_NAME __attribute__((preserve_access_index))
#define OFFSET(field) __builtin_preserve_field_info(field, 0)
/* Map definitions as libbpf reads them from BTF. */
#define NUMBER(name, value) int (*name)[value]
#define TYPE(name, type) typeof(type) *name

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the objects are built with -target bpfel"
#endif
#define be16(x) __builtin_bswap16(x)
#define be32(x) __builtin_bswap32(x)

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_LRU_HASH = 9, MAP_LPM_TRIE = 11, MAP_PERCPU_CGROUP_STORAGE = 21, MAP_RINGBUF = 27 };
enum { F_NO_PREALLOC = 1 };
enum { BPF_ANY = 0 };
enum { FAMILY_INET = 2, FAMILY_INET6 = 10 };
enum { LEVEL_SOCKET = 1, SOCKET_MARK = 36 };
enum { STATE_LISTEN = 10 };
enum { SOCK_OPS_LISTEN = 11 };
enum { ERR_NOENT = 2, ERR_PROTONOSUPPORT = 93, ERR_NETUNREACH = 101 };
enum {
	PROTO_HOPOPTS = 0,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_DSTOPTS = 60,
	PROTO_MPTCP = 262,
};

enum { OPTION_END = 0, OPTION_NOOP = 1, OPTION_LSRR = 131, OPTION_SSRR = 137 };

struct bpf_sock {
	u32 bound_dev_if;
	u32 family;
	u32 type;
	u32 protocol;
	u32 mark;
	u32 priority;
	u32 src_ip4;
	u32 src_ip6[4];
	u32 src_port;
	u16 dst_port;
	u16 : 16;
	u32 dst_ip4;
	u32 dst_ip6[4];
	u32 state;
	int rx_queue_mapping;
};

struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port;
	u32 family;
	u32 type;
	u32 protocol;
	u32 msg_src_ip4;
	u32 msg_src_ip6[4];
	union {
		struct bpf_sock *sk;
		u64 : 64;
	} __attribute__((aligned(8)));
};

struct bpf_sock_ops {
	u32 op;
	u32 reply[4];
	u32 family;
	u32 remote_ip4;
	u32 local_ip4;
	u32 remote_ip6[4];
	u32 local_ip6[4];
	u32 remote_port;
	u32 local_port;
	u32 is_fullsock;
	u32 snd_cwnd;
	u32 srtt_us;
	u32 cb_flags;
	u32 state;
	u32 rtt_min;
	u32 snd_ssthresh;
	u32 rcv_nxt;
	u32 snd_nxt;
	u32 snd_una;
	u32 mss_cache;
	u32 ecn_flags;
	u32 rate_delivered;
	u32 rate_interval_us;
	u32 packets_out;
	u32 retrans_out;
	u32 total_retrans;
	u32 segs_in;
	u32 data_segs_in;
	u32 segs_out;
	u32 data_segs_out;
	u32 lost_out;
	u32 sacked_out;
	u32 sk_txhash;
	u64 bytes_received;
	u64 bytes_acked;
	union {
		struct bpf_sock *sk;
		u64 : 64;
	} __attribute__((aligned(8)));
};

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
	u32 family;
	u32 remote_ip4;
	u32 local_ip4;
	u32 remote_ip6[4];
	u32 local_ip6[4];
	u32 remote_port;
	u32 local_port;
	u32 data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	union {
		struct bpf_sock *sk;
		u64 : 64;
	} __attribute__((aligned(8)));
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime_get_ns)(void) = (void *)5;
static u64 (*get_current_uid_gid)(void) = (void *)15;
static long (*skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static void *(*get_current_task)(void) = (void *)35;
static u64 (*get_socket_cookie)(void *ctx) = (void *)46;
static long (*set_sockopt)(void *ctx, int level, int name, void *value, int len) = (void *)49;
static u64 (*get_current_cgroup_id)(void) = (void *)80;
static void *(*get_local_storage)(void *map, u64 flags) = (void *)81;
static struct bpf_sock *(*sk_fullsock)(struct bpf_sock *sk) = (void *)95;
static long (*probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*get_ns_current_pid_tgid)(u64 device, u64 inode, void *to, u32 size) = (void *)120;
static u64 (*get_netns_cookie)(void *ctx) = (void *)122;
static long (*ringbuf_output)(void *map, void *data, u64 size, u64 flags) = (void *)130;
static long (*set_retval)(int value) = (void *)187;
