/* The limit: a server of one room that does nothing but the system calls that any server needs.

   limit_server [--coalesce]
     Its port is the first line on stdout; the end of stdin ends it. A binary message that begins
     with "B" goes to every member, one with "R" to those who came first (FELT_BY). One send for
     each member and message; with --coalesce one for each member and turn of the loop.

   No checks of any kind: one fixed answer to every upgrade (right for the key of RFC 6455, 1.3,
   which the load client sends), and a member who does not take a message at once ends it, for the
   load client reads everything. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "websocket.h"

#define MEMBERS_MAX 65536
#define READY_MAX 1024
#define READ_BYTES 65536
#define TURN_BYTES_MAX (1 << 20)
#define FELT_BY 51 /* the model and 50 VIPs */
#define BACKLOG 4096

static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

enum state { AWAY, UPGRADING, IN };

static enum state states[MEMBERS_MAX]; /* by file descriptor */
static int order[MEMBERS_MAX], count; /* descriptors of those who are in, first come first */
static uint8_t everyone[TURN_BYTES_MAX];
static size_t everyone_bytes;
static int coalesce;

static void die(const char *what) {
    fprintf(stderr, "limit_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void give(int fd, const void *bytes, size_t size) {
    if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size && errno != EPIPE &&
        errno != ECONNRESET)
        die("send");
}

static void leave(int fd) {
    for (int at = 0; at < count; at++)
        if (order[at] == fd) {
            memmove(order + at, order + at + 1, (size_t)(count - at - 1) * sizeof *order);
            count--;
            break;
        }
    states[fd] = AWAY;
    close(fd);
}

static void flush_everyone(void) {
    for (int at = 0; everyone_bytes && at < count; at++)
        give(order[at], everyone, everyone_bytes);
    everyone_bytes = 0;
}

static void take(frame_t *frame) {
    uint8_t message[HEADER_BYTES_MAX + READ_BYTES];
    if (frame->opcode != OP_BINARY || frame->payload_bytes == 0) return;
    for (size_t at = 0; frame->mask && at < frame->payload_bytes; at++)
        frame->payload[at] ^= frame->mask[at % 4];
    size_t size = write_header(message, OP_BINARY, frame->payload_bytes, 0);
    memcpy(message + size, frame->payload, frame->payload_bytes);
    size += frame->payload_bytes;
    if (frame->payload[0] == 'R') {
        for (int at = 0; at < count && at < FELT_BY; at++) give(order[at], message, size);
        return;
    }
    if (everyone_bytes + size > sizeof everyone) flush_everyone();
    memcpy(everyone + everyone_bytes, message, size);
    everyone_bytes += size;
    if (!coalesce) flush_everyone();
}

static void receive(int fd) {
    static uint8_t data[READ_BYTES];
    ssize_t got = recv(fd, data, sizeof data, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        leave(fd);
        return;
    }
    if (states[fd] == UPGRADING) { /* the load client's request comes whole */
        give(fd, ANSWER, sizeof ANSWER - 1);
        states[fd] = IN;
        order[count++] = fd;
        return;
    }
    frame_t frame;
    for (size_t at = 0; read_frame(data + at, (size_t)got - at, &frame) > 0; at += frame.frame_bytes)
        take(&frame);
}

static void welcome(int listener, int epoll_fd) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            die("accept");
        }
        if (fd >= MEMBERS_MAX) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        states[fd] = UPGRADING;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    coalesce = argc > 1 && strcmp(argv[1], "--coalesce") == 0;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    struct epoll_event orders = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
        listen(listener, BACKLOG) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &orders) < 0)
        die("epoll_ctl");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[READY_MAX];
        int found = epoll_wait(epoll_fd, ready, READY_MAX, -1);
        if (found < 0 && errno != EINTR) die("epoll_wait");
        for (int at = 0; at < found; at++) {
            int fd = ready[at].data.fd;
            if (fd == STDIN_FILENO) return 0;
            if (fd == listener) welcome(listener, epoll_fd);
            else if (states[fd] != AWAY) receive(fd);
        }
        flush_everyone();
    }
}
