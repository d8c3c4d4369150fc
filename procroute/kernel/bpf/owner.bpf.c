// SPDX-License-Identifier: GPL-2.0-or-later
/* Mark the sockets of users at birth by whose they are, wherever in the tree they are made. Attached to the root of
 * the tree, so what stands on a cgroup below has run before: a mark of ours that is there wins. */
#include "tie.h"

#define BY_NAME __attribute__((preserve_access_index))
#define READ(to, field) probe_read_kernel(&(to), sizeof(to), &(field))

struct cred {
	struct {
		u32 val;
	} euid;
} BY_NAME;

struct task_struct {
	const struct cred *cred;
} BY_NAME;

/* mark: of the user's route. alone: only where the real uid is the same, too. */
struct owner {
	u32 mark;
	u32 alone;
};

/* By effective uid, as the first user namespace counts. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1024);
	TYPE(key, u32);
	TYPE(value, struct owner);
} owners SEC(".maps");

/* The marks among them; value: whether servers answer by whichever adapter a client came in on, as they do on no
 * strict route. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1024);
	TYPE(key, u32);
	TYPE(value, u32);
} answering SEC(".maps");

INLINE u32 effective(void)
{
	struct task_struct *task = get_current_task();
	const struct cred *cred = 0;
	u32 uid = 0;

	READ(cred, task->cred);
	READ(uid, cred->euid);
	return uid;
}

SEC("cgroup/sock_create")
int pr_own_create(struct bpf_sock *sk)
{
	const struct owner *owner;
	u32 uid;

	if (sk->mark & cfg.mask)
		return 1;
	uid = effective();
	owner = map_lookup(&owners, &uid);
	if (!owner || (owner->alone && (u32)get_current_uid_gid() != uid) || get_netns_cookie(sk) != cfg.namespace)
		return 1;
	/* Subflows of MPTCP are sockets of the kernel that no program sees; TCP is what is left. */
	if (sk->protocol == PROTO_MPTCP)
		return refuse(ERR_PROTONOSUPPORT);
	sk->mark |= owner->mark;
	return 1;
}

/* Those that carry one of these marks. */
INLINE int ties(void *ctx, u32 mark)
{
	const u32 *answers;

	mark &= cfg.mask;
	answers = map_lookup(&answering, &mark);
	return answers && *answers && get_netns_cookie(ctx) == cfg.namespace;
}

SEC("cgroup/bind4")
int pr_own_bind4(struct bpf_sock_addr *ctx)
{
	return bound4(ctx);
}

SEC("cgroup/bind6")
int pr_own_bind6(struct bpf_sock_addr *ctx)
{
	return bound6(ctx);
}

SEC("sockops")
int pr_own_listen(struct bpf_sock_ops *ctx)
{
	return listens(ctx);
}
