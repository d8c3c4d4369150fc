/* What the packet benchmark runs: a few operations in a loop, and what the kernel needed for one.
 *
 *   load serve                                          listen on RESET, ECHO (TCP) and SINK (UDP); prints "ready PID"
 *   load connect|request|send|sendto ADDRESS COUNT      prints "MEASURE VALUE", the value for one operation
 *   load connect|request|send|sendto ADDRESS COUNT each counts CPU time of every operation, prints their median
 *
 * MEASURE is instructions:k, the kernel's instructions of this task as `perf stat -e instructions:k` counts them
 * (perf_event_open(2)); where the machine has no such counter, cpu-ns: CPU time of this task, its own few
 * instructions included.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RESET = 7100, ECHO = 7101, SINK = 7102, WARM_UP = 64 };

/* Where the operations go; IPv4 as IPv4, not mapped. */
static struct sockaddr_storage target;
static socklen_t target_length;

static void aim(const char *address, uint16_t port) {
    struct sockaddr_in *v4 = (void *)&target;
    struct sockaddr_in6 *v6 = (void *)&target;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        target_length = sizeof *v4;
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        target_length = sizeof *v6;
    } else {
        errx(2, "%s is no address", address);
    }
}

static int open_socket(int type) {
    int fd = socket(target.ss_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) err(1, "socket");
    return fd;
}

static int open_connected(int type) {
    int fd = open_socket(type), on = 1;
    if (connect(fd, (void *)&target, target_length)) err(1, "connect");
    if (type == SOCK_STREAM && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) err(1, "TCP_NODELAY");
    return fd;
}

/* --- the operations; fd is what prepare made */

static void connect_and_reset(int fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)fd;
    int own = open_socket(SOCK_STREAM);
    if (connect(own, (void *)&target, target_length)) err(1, "connect");
    if (setsockopt(own, SOL_SOCKET, SO_LINGER, &now, sizeof now)) err(1, "SO_LINGER");
    close(own);
}

static void request_and_response(int fd) {
    char byte = 'x';
    if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1) err(1, "request");
}

static void send_datagram(int fd) {
    if (send(fd, "x", 1, 0) != 1) err(1, "send");
}

static void send_unconnected(int fd) {
    if (sendto(fd, "x", 1, 0, (void *)&target, target_length) != 1) err(1, "sendto");
}

/* --- counting */

/* Client on the first processor, server on the last: the same wake-ups each time. */
static void stay_on(int processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static int open_counter(void) {
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .disabled = 1,
        .exclude_user = 1,
        .exclude_hv = 1,
    };
    return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The median leaves out what comes now and then (timers, freed memory): where CPU time counts instructions, what
 * is left is the same each time. Without the reading of the clock itself. */
static double measure_each(void (*operation)(int), int fd, long count) {
    uint64_t *spent = calloc(count, sizeof *spent), clock = UINT64_MAX;
    if (!spent) err(1, "calloc");
    for (int i = 0; i < WARM_UP; i++) {
        uint64_t before = cpu_ns(), after = cpu_ns();
        if (after - before < clock) clock = after - before;
    }
    for (long i = 0; i < count; i++) {
        uint64_t before = cpu_ns();
        operation(fd);
        spent[i] = cpu_ns() - before;
    }
    qsort(spent, count, sizeof *spent, by_value);
    return (double)spent[count / 2] - clock;
}

static int measure(const char *name, long count, int each) {
    void (*operation)(int) = !strcmp(name, "connect")   ? connect_and_reset
                             : !strcmp(name, "request") ? request_and_response
                             : !strcmp(name, "send")    ? send_datagram
                                                        : send_unconnected;
    int fd = operation == request_and_response ? open_connected(SOCK_STREAM)
             : operation == send_datagram      ? open_connected(SOCK_DGRAM)
             : operation == send_unconnected   ? open_socket(SOCK_DGRAM)
                                               : -1;
    int counter = open_counter();
    stay_on(0);
    for (int i = 0; i < WARM_UP; i++) operation(fd);

    if (each) {
        printf("cpu-ns %.1f\n", measure_each(operation, fd, count));
        return 0;
    }
    uint64_t spent = cpu_ns();
    if (counter >= 0) ioctl(counter, PERF_EVENT_IOC_ENABLE, 0);
    for (long i = 0; i < count; i++) operation(fd);
    if (counter >= 0) ioctl(counter, PERF_EVENT_IOC_DISABLE, 0);
    spent = cpu_ns() - spent;
    if (counter >= 0 && read(counter, &spent, sizeof spent) != sizeof spent) err(1, "counter");
    printf("%s %.1f\n", counter >= 0 ? "instructions:k" : "cpu-ns", (double)spent / count);
    return 0;
}

/* --- the other end: one process a port, gone with the first */

static int listen_on(int type, uint16_t port) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, type, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) err(1, "socket");
    if (bind(fd, (void *)&any, sizeof any) || (type == SOCK_STREAM && listen(fd, 4096))) err(1, "port %d", port);
    return fd;
}

static void beside(void (*work)(int), int fd) {
    if (fork()) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    work(fd);
    _exit(0);
}

static void take_and_close(int fd) {
    for (;;) close(accept(fd, NULL, NULL));
}

static void echo(int fd) {
    for (;;) {
        char byte;
        int on = 1, peer = accept(fd, NULL, NULL);
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (recv(peer, &byte, 1, 0) == 1)
            if (send(peer, &byte, 1, MSG_NOSIGNAL) != 1) break;
        close(peer);
    }
}

/* Takes what came, a hundred times a second: nobody waits on the socket, so a datagram wakes nobody. */
static void drain(int fd) {
    for (;;) {
        char byte;
        while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0) {}
        usleep(10000);
    }
}

static void serve(void) {
    stay_on(sysconf(_SC_NPROCESSORS_ONLN) - 1);
    int room = 64 << 20, sink = listen_on(SOCK_DGRAM, SINK);
    if (setsockopt(sink, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) err(1, "SO_RCVBUFFORCE");
    beside(take_and_close, listen_on(SOCK_STREAM, RESET));
    beside(echo, listen_on(SOCK_STREAM, ECHO));
    printf("ready %d\n", getpid());
    fflush(stdout);
    drain(sink);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "serve")) serve();
    int each = argc == 5 && !strcmp(argv[4], "each");
    if (argc != 4 + each || argc < 4) errx(2, "usage: load serve | load connect|request|send|sendto ADDRESS COUNT [each]");
    uint16_t port = !strcmp(argv[1], "connect") ? RESET : !strcmp(argv[1], "request") ? ECHO : SINK;
    aim(argv[2], port);
    return measure(argv[1], atol(argv[3]), each);
}
