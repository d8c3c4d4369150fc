// SPDX-License-Identifier: GPL-2.0-or-later
/* Tell of every process that is born, becomes another or ends: its number, and no more; who listens reads the rest in
 * /proc. Threads are no processes, and those of the kernel are nobody's. Only there while somebody listens. */
#include "task.h"

#define KERNEL_THREAD 0x00200000 /* linux/sched.h, PF_KTHREAD */

enum { BORN = 1, CHANGED = 2, ENDED = 3 };

struct life {
	u32 number;
	u32 what;
	u64 began; /* in ticks since boot, as in /proc */
};

struct {
	NUMBER(type, MAP_RINGBUF);
	NUMBER(max_entries, 1 << 19);
} lives SEC(".maps");

/* How many were not told, since the ring was full. */
struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} untold SEC(".maps");

APART int tell(struct task_struct *leader, u32 what)
{
	struct life life = { number_of(leader), what, began(leader) };
	u32 flags = 0, first = 0;
	u64 *missed;

	READ(flags, leader->flags);
	if (!life.number || flags & KERNEL_THREAD)
		return 0;
	if (ringbuf_output(&lives, &life, sizeof(life), 0)) {
		missed = map_lookup(&untold, &first);
		if (missed)
			__sync_fetch_and_add(missed, 1);
	}
	return 0;
}

INLINE int tell_if_first(struct task_struct *task, u32 what)
{
	struct task_struct *leader = 0;

	READ(leader, task->group_leader);
	return leader == task ? tell(leader, what) : 0;
}

/* (struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int pr_born(u64 *argument)
{
	return tell_if_first((void *)argument[1], BORN);
}

/* (struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm): it is the first thread by then. */
SEC("raw_tp/sched_process_exec")
int pr_executed(u64 *argument)
{
	return tell_if_first((void *)argument[0], CHANGED);
}

/* (struct task_struct *task, const char *comm) */
SEC("raw_tp/task_rename")
int pr_renamed(u64 *argument)
{
	return tell_if_first((void *)argument[0], CHANGED);
}

/* (struct cgroup *to, const char *path, struct task_struct *task, bool all_threads): after the move. */
SEC("raw_tp/cgroup_attach_task")
int pr_placed(u64 *argument)
{
	if ((void *)argument[0] != cgroup_of((void *)argument[2]))
		return 0; /* a cgroup of version 1 */
	return tell_if_first((void *)argument[2], CHANGED);
}

/* (struct cred *new): somebody becomes another user, just now. */
SEC("fentry/commit_creds")
int pr_user(u64 *argument __attribute__((unused)))
{
	return tell_if_first(get_current_task(), CHANGED);
}

/* (struct task_struct *task, ...): it is the current one. */
SEC("raw_tp/sched_process_exit")
int pr_over(u64 *argument)
{
	struct task_struct *task = (void *)argument[0], *leader = 0;
	struct signal_struct *signal = 0;
	int live = 0;

	READ(signal, task->signal);
	READ(live, signal->live.counter);
	READ(leader, task->group_leader);
	return live ? 0 : tell(leader, ENDED);
}

SEC("license") char _license[] = "GPL";
