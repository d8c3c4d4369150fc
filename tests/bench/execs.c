/* What executing a program costs the kernel.
 *
 *   execs COUNT PROGRAM      fork, execve and wait, so often; prints "MEASURE VALUE", the value for one
 *
 * MEASURE is instructions:k, the kernel's instructions of the children (perf_event_open(2), inherit); where the machine
 * has no such counter, cpu-ns: CPU time of the children. Compiled with -DNOTHING it is a program that ends at once.
 */
#define _GNU_SOURCE
#ifdef NOTHING
#include <sys/syscall.h>
void _start(void) {
#if defined __x86_64__
    __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(0) : "rcx", "r11", "memory");
#elif defined __aarch64__
    register long x8 __asm__("x8") = SYS_exit_group, x0 __asm__("x0") = 0;
    __asm__ volatile("svc 0" : : "r"(x8), "r"(x0) : "memory");
#else
#error "not for this processor yet"
#endif
    __builtin_unreachable();
}
#else
#include <err.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP = 50 };

static char *none[1];

static void execute(char *program) {
    char *words[] = {program, NULL};
    pid_t child = vfork();
    if (child == 0) {
        execve(program, words, none);
        _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status) err(1, "%s", program);
}

static double children_ns(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e9 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv) {
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .inherit = 1,
        .disabled = 1,
        .exclude_user = 1,
        .exclude_hv = 1,
    };
    if (argc != 3) errx(2, "usage: execs COUNT PROGRAM");
    long count = atol(argv[1]);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    int counter = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    for (int i = 0; i < WARM_UP; i++) execute(argv[2]);
    double before = children_ns();
    if (counter >= 0) ioctl(counter, PERF_EVENT_IOC_ENABLE, 0);
    for (long i = 0; i < count; i++) execute(argv[2]);
    if (counter >= 0) ioctl(counter, PERF_EVENT_IOC_DISABLE, 0);
    uint64_t spent = 0;
    if (counter >= 0 && read(counter, &spent, sizeof spent) != sizeof spent) err(1, "counter");
    printf("%s %.1f\n", counter >= 0 ? "instructions:k" : "cpu-ns", (counter >= 0 ? spent : children_ns() - before) / count);
    return 0;
}
#endif
