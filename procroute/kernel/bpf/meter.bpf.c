// SPDX-License-Identifier: GPL-2.0-or-later
/* Count the bytes of what sockets of a cgroup, and of those below it, send and get by whatever adapter but loopback.
 * One program for all cgroups that it is attached to: each has a counter of its own, and one for each direction. */
#include "uapi.h"

#define LOOPBACK 1 /* include/net/net_namespace.h */

struct place {
	u64 cgroup;
	u32 hook;
	u32 : 32;
};

struct {
	NUMBER(type, MAP_PERCPU_CGROUP_STORAGE);
	TYPE(key, struct place);
	TYPE(value, u64);
} carried SEC(".maps");

INLINE int count(const struct __sk_buff *skb)
{
	u64 *bytes = get_local_storage(&carried, 0);

	if (skb->ifindex != LOOPBACK)
		__sync_fetch_and_add(bytes, skb->len); /* a packet that comes in may interrupt one that goes out */
	return 1;
}

SEC("cgroup_skb/egress")
int pr_sent(struct __sk_buff *skb)
{
	return count(skb);
}

SEC("cgroup_skb/ingress")
int pr_received(struct __sk_buff *skb)
{
	return count(skb);
}

SEC("license") char _license[] = "GPL";
