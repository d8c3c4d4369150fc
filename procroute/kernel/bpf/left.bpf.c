// SPDX-License-Identifier: GPL-2.0-or-later
/* Tell which assignments processes have left by another cgroup. Who was moved is known at the tracepoint
 * cgroup_attach_task, but not from where (kernel/cgroup/cgroup.c): so those that descend from an assignment's
 * processes are kept by number, from fork to exit, also where their parents have ended. Others cost a look-up at
 * each; nothing is looked at while nothing is assigned. */
#include "task.h"

#define DEPTH 16

/* The cgroups of assignments, by their ids, and what we call them. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1 << 17);
	TYPE(key, u64);
	TYPE(value, u64);
} places SEC(".maps");

/* Who descends from an assignment's processes, by number. began: in ticks since boot, as in /proc. */
struct member {
	u64 assignment;
	u64 began;
};

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1 << 18);
	TYPE(key, u32);
	TYPE(value, struct member);
} members SEC(".maps");

/* The assignments that were left since somebody looked; and what wakes him: as many bytes as the largest page. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1 << 17);
	TYPE(key, u64);
	TYPE(value, u64);
} left SEC(".maps");

struct {
	NUMBER(type, MAP_RINGBUF);
	NUMBER(max_entries, 65536);
} bell SEC(".maps");

/* The first process of an assignment of whose end somebody wants to hear, and how it ended: as wait(2) tells. */
struct ending {
	u64 began;
	u32 number;
	u32 ended;
	u32 status;
	u32 unused;
};

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, F_NO_PREALLOC);
	NUMBER(max_entries, 1 << 12);
	TYPE(key, u64);
	TYPE(value, struct ending);
} endings SEC(".maps");

INLINE void tell(u64 assignment)
{
	map_update(&left, &assignment, &assignment, BPF_ANY);
	/* Full: nobody has looked yet, and who looks then sees this one, too. */
	ringbuf_output(&bell, &assignment, sizeof(assignment), 0);
}

/* What the assignment is called in whose cgroup, or below it, this one is; 0: none. */
APART u64 place_of(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *at = 0;

	for (int i = 0; i < DEPTH && cgroup; i++) {
		struct kernfs_node *node = 0;
		u64 id = 0, *found;

		READ(node, cgroup->kn);
		READ(id, node->id);
		found = map_lookup(&places, &id);
		if (found)
			return *found;
		READ(at, cgroup->self.parent);
		if (!at)
			return 0;
		READ(cgroup, at->cgroup);
	}
	return 0;
}

/* (struct task_struct *parent, struct task_struct *child): before the child runs. */
SEC("raw_tp/sched_process_fork")
int pr_forked(u64 *argument)
{
	struct task_struct *parent = (void *)argument[0], *child = (void *)argument[1];
	struct task_struct *parent_leader = 0, *leader = 0;
	struct cgroup *cgroup = cgroup_of(child);
	u32 number = current();
	struct member *known = map_lookup(&members, &number), new = {};

	/* clone(2), CLONE_INTO_CGROUP: it may be born elsewhere, as units of systemd's are. */
	if (!known && cgroup == cgroup_of(parent))
		return 0;
	READ(parent_leader, parent->group_leader);
	READ(leader, child->group_leader);
	if (leader == parent_leader)
		return 0; /* a thread */
	if (known && known->began != began(parent_leader))
		known = 0; /* the number was another's before */
	new.began = began(leader);
	new.assignment = known ? known->assignment : place_of(cgroup);
	if (!new.assignment)
		return 0;
	number = number_of(child);
	map_update(&members, &number, &new, BPF_ANY);
	if (known && !place_of(cgroup))
		tell(new.assignment);
	return 0;
}

/* (struct cgroup *to, const char *path, struct task_struct *task, bool all_threads): after the move. */
SEC("raw_tp/cgroup_attach_task")
int pr_moved(u64 *argument)
{
	struct cgroup *to = (void *)argument[0], *now = cgroup_of((void *)argument[2]);
	struct task_struct *leader = 0;

	if (to != now)
		return 0; /* a cgroup of version 1 */
	READ(leader, ((struct task_struct *)argument[2])->group_leader);
	u32 number = number_of(leader);
	struct member new = { place_of(to), began(leader) };

	if (!number)
		return 0;
	if (new.assignment) {
		map_update(&members, &number, &new, BPF_ANY);
		return 0;
	}
	struct member *known = map_lookup(&members, &number);

	if (!known || known->began != new.began)
		return 0;
	if (current() == cfg.self)
		map_delete(&members, &number); /* it was let go */
	else
		tell(known->assignment);
	return 0;
}

/* (struct task_struct *task, ...): it is the current one. */
SEC("raw_tp/sched_process_exit")
int pr_ended(u64 *argument)
{
	struct task_struct *task = (void *)argument[0];
	struct signal_struct *signal = 0;
	u32 number = current();
	struct member *known = map_lookup(&members, &number);
	int live = 0;

	if (!known)
		return 0;
	READ(signal, task->signal);
	READ(live, signal->live.counter);
	if (live)
		return 0;
	u64 assignment = known->assignment;
	struct ending *ending = map_lookup(&endings, &assignment);

	if (ending && ending->number == number && ending->began == known->began) {
		READ(ending->status, task->exit_code);
		ending->ended = 1;
	}
	map_delete(&members, &number);
	return 0;
}

SEC("license") char _license[] = "GPL";
