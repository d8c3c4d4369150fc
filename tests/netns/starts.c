/* Starts a program in many ways.
 *
 *   starts many COUNT AT_ONCE PROGRAM      so often, and so many at a time; their exit statuses are not looked at
 *   starts timed COUNT PAUSE_MS PROGRAM    one after the other; prints the microseconds from before execve to the end of each
 *   starts moved COUNT PAUSE_MS PROCS PROGRAM   the same of processes that move themselves first, by that cgroup.procs
 *   starts HOW PROGRAM                     thread (not the first one executes), vfork, execveat, fexecve, memfd (a copy in
 *                                          memory), user (uid and gid 1000); exits with 0, or the errno of the exec
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *program[2];
static char *none[1];
static const char *procs;

static int status_of(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) err(1, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static pid_t start(void) {
    pid_t child = fork();
    if (child < 0) err(1, "fork");
    if (child == 0) {
        if (procs) {
            int file = open(procs, O_WRONLY | O_CLOEXEC);
            if (file < 0 || write(file, "0", 1) != 1) _exit(errno);
        }
        execve(program[0], program, none);
        _exit(errno);
    }
    return child;
}

static void many(long count, long at_once) {
    long running = 0;
    while (count > 0 || running > 0) {
        if (count > 0 && running < at_once) {
            start();
            count--;
            running++;
        } else if (wait(NULL) > 0) running--;
    }
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static void timed(long count, long pause) {
    while (count-- > 0) {
        usleep(pause * 1000);
        double began = now();
        int status = status_of(start());
        printf("%.0f %d\n", now() - began, status);
        fflush(stdout);
    }
}

static void *in_thread(void *unused) {
    (void)unused;
    execve(program[0], program, none);
    _exit(errno);
}

static int opened_in_memory(void) {
    int from = open(program[0], O_RDONLY | O_CLOEXEC), to = memfd_create("program", MFD_CLOEXEC);
    struct stat found;
    if (from < 0 || to < 0 || fstat(from, &found)) err(1, "memfd");
    if (sendfile(to, from, NULL, found.st_size) != found.st_size) err(1, "sendfile");
    return to;
}

static void become(const char *how) {
    if (!strcmp(how, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, in_thread, NULL);
        for (;;) pause();
    }
    if (!strcmp(how, "execveat")) syscall(SYS_execveat, AT_FDCWD, program[0], program, none, 0);
    if (!strcmp(how, "fexecve")) fexecve(open(program[0], O_RDONLY | O_CLOEXEC), program, none);
    if (!strcmp(how, "memfd")) fexecve(opened_in_memory(), program, none);
    if (!strcmp(how, "user") && !setgid(1000) && !setuid(1000)) execve(program[0], program, none);
    _exit(errno);
}

int main(int argc, char **argv) {
    if (argc < 3) errx(2, "see starts.c");
    program[0] = argv[argc - 1];
    if (argc == 5 && !strcmp(argv[1], "many")) return many(atol(argv[2]), atol(argv[3])), 0;
    if (argc == 5 && !strcmp(argv[1], "timed")) return timed(atol(argv[2]), atol(argv[3])), 0;
    if (argc == 6 && !strcmp(argv[1], "moved")) {
        procs = argv[4];
        return timed(atol(argv[2]), atol(argv[3])), 0;
    }
    if (!strcmp(argv[1], "vfork")) {
        pid_t child = vfork();
        if (child == 0) {
            execve(program[0], program, none);
            _exit(errno);
        }
        int status = status_of(child);
        char line[64];
        FILE *own = fopen("/proc/self/cgroup", "r");
        while (own && fgets(line, sizeof line, own)) fprintf(stderr, "%s", line);
        return status;
    }
    pid_t child = fork();
    if (child == 0) become(argv[1]);
    return status_of(child);
}
