// SPDX-License-Identifier: GPL-2.0-or-later
/* Say that processes were moved to another cgroup, and no more: who looks finds out which. The tracepoint is
 * the machine's, but it is met by moves only, neither by packets nor by forks (kernel/cgroup/cgroup.c,
 * cgroup_attach_task). */
#include "uapi.h"

/* As many bytes as the largest page: the kernel wants whole pages. */
struct {
	NUMBER(type, MAP_RINGBUF);
	NUMBER(max_entries, 65536);
} moves SEC(".maps");

SEC("raw_tp/cgroup_attach_task")
int pr_moved(void *ctx __attribute__((unused)))
{
	u32 word = 0;

	/* Full: nobody has looked yet, and who looks then sees this one, too. */
	ringbuf_output(&moves, &word, sizeof(word), 0);
	return 0;
}

SEC("license") char _license[] = "GPL";
