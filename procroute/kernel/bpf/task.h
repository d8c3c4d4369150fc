/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a task the programs at tracepoints read. Where fields lie is found by name in the kernel's BTF. */
#pragma once

#include "uapi.h"

#define READ(to, field) probe_read_kernel(&(to), sizeof(to), &(field))
#define NAMESPACES 4
#define NS_A_TICK 10000000 /* of proc(5): USER_HZ is 100 */

struct cgroup_root;

struct kernfs_node {
	u64 id;
} BY_NAME;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} BY_NAME;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
} BY_NAME;

struct css_set {
	struct cgroup *dfl_cgrp;
} BY_NAME;

struct ns_common {
	u32 inum;
} BY_NAME;

struct pid_namespace {
	struct ns_common ns;
} BY_NAME;

struct upid {
	int nr;
	struct pid_namespace *ns;
} BY_NAME;

struct pid {
	u32 level;
	struct upid numbers[1];
} BY_NAME;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
} BY_NAME;

struct task_struct {
	struct task_struct *group_leader;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct signal_struct *signal;
	u64 start_boottime;
	int exit_code;
	u32 flags;
} BY_NAME;

/* The pid namespace whose numbers are meant, as stat(2) tells it, and the number of who looks. */
struct cfg {
	u64 device;
	u32 inode;
	u32 self;
};

SEC(".rodata") const volatile struct cfg cfg = {};

INLINE struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = 0;
	struct cgroup *cgroup = 0;

	READ(set, task->cgroups);
	READ(cgroup, set->dfl_cgrp);
	return cgroup;
}

/* Of a process's first thread. */
INLINE u64 began(struct task_struct *leader)
{
	u64 ns = 0;

	READ(ns, leader->start_boottime);
	return ns / NS_A_TICK;
}

/* The number of a task in our pid namespace; 0: it has none there. */
APART u32 number_of(struct task_struct *task)
{
	struct pid *pid = 0;
	u32 level = 0;

	READ(pid, task->thread_pid);
	READ(level, pid->level);
	for (u32 i = 0; i < NAMESPACES; i++) {
		struct upid *at = (void *)((char *)pid + OFFSET(pid->numbers) +
					   i * __builtin_preserve_type_info(*(struct upid *)0, 1));
		struct pid_namespace *space = 0;
		u32 inode = 0;
		int number = 0;

		if (i > level)
			return 0;
		READ(space, at->ns);
		READ(inode, space->ns.inum);
		READ(number, at->nr);
		if (inode == cfg.inode)
			return number;
	}
	return 0;
}

/* The number of the current process; 0: it has none. */
INLINE u32 current(void)
{
	struct {
		u32 thread;
		u32 process;
	} found = {};

	return get_ns_current_pid_tgid(cfg.device, cfg.inode, &found, sizeof(found)) ? 0 : found.process;
}
