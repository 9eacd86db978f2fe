/* One member of the load client: its connection, its frames, and what of them is counted. */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_client.h"
#include "websocket.h"

#define READ_BYTES (256 * 1024) /* one read, and the largest frame */
#define SEARCHED_BYTES 192

static uint8_t buffer[READ_BYTES];

void drop(member_t *member) {
    if (member->state == AWAY) return;
    if (member->state == IN) in_count--;
    else if (now.under_way) now.under_way--;
    close(member->fd);
    free(member->rest);
    member->rest = NULL;
    member->rest_bytes = 0;
    member->state = AWAY;
}

int say(member_t *member, const void *bytes, size_t size) {
    ssize_t sent = send(member->fd, bytes, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size) return 1;
    if (sent < 0) failed("socket %s", strerrorname_np(errno));
    else failed("the kernel took only a part");
    drop(member);
    return 0;
}

void begin(member_t *member, uint32_t number) {
    member->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (member->fd < 0) die("socket");
    int on = 1;
    setsockopt(member->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    member->state = CONNECTING;
    member->began_ns = clock_ns();
    now.under_way++;
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = number};
    if (connect(member->fd, (struct sockaddr *)&address, sizeof address) < 0 &&
        errno != EINPROGRESS) {
        failed("socket %s", strerrorname_np(errno));
        drop(member);
    } else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, member->fd, &event) < 0) {
        die("epoll_ctl");
    }
}

void connected(member_t *member, uint32_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, member->fd, &event) < 0) die("epoll_ctl");
    member->state = UPGRADING;
    say(member, member->hello, member->hello_bytes);
}

static void entered(member_t *member, int64_t at_ns) {
    member->state = IN;
    in_count++;
    now.under_way--;
    now.all.joined++;
    if (now.kind == JOIN || now.kind == WATCH) sample(at_ns - member->began_ns);
}

/* Bytes of the answer's header; 0: not complete, or refused. */
static size_t upgraded(member_t *member, const uint8_t *data, size_t bytes, int64_t at_ns) {
    const uint8_t *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    if (bytes < 12 || memcmp(data + 9, "101", 3) != 0) {
        failed("HTTP %.3s", bytes < 12 ? "?" : (const char *)data + 9);
        drop(member);
        return 0;
    }
    member->state = ENTERING;
    if (member->after_bytes && !say(member, member->after, member->after_bytes)) return 0;
    if (ready.size == 0) entered(member, at_ns);
    return (size_t)(end - data) + 4;
}

static int64_t number_behind(const uint8_t *at, const uint8_t *end) {
    int64_t number = 0;
    if (end - at < DIGITS) return -1;
    for (int digit = 0; digit < DIGITS; digit++) {
        if (!isdigit(at[digit])) return -1;
        number = 10 * number + at[digit] - '0';
    }
    return number;
}

/* Where the marker ends in a message; NULL: it is none of those that are counted. Messages of one
   kind have it at one place, so the last place is looked at first. */
static const uint8_t *marked(const uint8_t *payload, size_t bytes) {
    if (marker.size == 0) return NULL;
    if (marker_hint + marker.size <= bytes &&
        memcmp(payload + marker_hint, marker.bytes, marker.size) == 0)
        return payload + marker_hint + marker.size;
    size_t searched = bytes < SEARCHED_BYTES ? bytes : SEARCHED_BYTES;
    const uint8_t *found = memmem(payload, searched, marker.bytes, marker.size);
    if (found == NULL) return NULL;
    marker_hint = (size_t)(found - payload);
    return found + marker.size;
}

static void took(member_t *member, uint32_t number, const frame_t *frame, int64_t at_ns) {
    uint8_t answer[HEADER_BYTES_MAX + 125];
    switch (frame->opcode) {
    case OP_TEXT:
    case OP_BINARY:
        if (frame->opcode == OP_TEXT && frame->payload_bytes == 1 && frame->payload[0] == '2') {
            size_t head = write_header(answer, OP_TEXT, 1, 1); /* Engine.IO's own ping */
            answer[head] = '3';
            say(member, answer, head + 1);
            return;
        }
        if (member->state == ENTERING) {
            if (memmem(frame->payload, frame->payload_bytes, ready.bytes, ready.size))
                entered(member, at_ns);
            return;
        }
        const uint8_t *behind = marked(frame->payload, frame->payload_bytes);
        if (behind == NULL) {
            now.all.others++;
            return;
        }
        now.all.frames++;
        if (now.kind == RATE && number == 0) {
            int64_t which = number_behind(behind, frame->payload + frame->payload_bytes);
            if (which < 0 || (uint64_t)which >= now.all.published)
                failed("a number that was not sent");
            else if (now.begun && (uint64_t)which >= now.before.published)
                sample(at_ns - sent_ns[which]);
        }
        return;
    case OP_PING: {
        if (frame->payload_bytes > 125) break;
        size_t head = write_header(answer, OP_PONG, frame->payload_bytes, 1);
        memcpy(answer + head, frame->payload, frame->payload_bytes);
        say(member, answer, head + frame->payload_bytes);
        return;
    }
    case OP_PONG:
        return;
    case OP_CLOSE:
        if (frame->payload_bytes >= 2)
            failed("closed by the server: %d", frame->payload[0] << 8 | frame->payload[1]);
        else failed("closed by the server");
        drop(member);
        return;
    }
    failed("opcode %d", frame->opcode);
    drop(member);
}

void receive(member_t *member, uint32_t number) {
    size_t bytes = member->rest_bytes;
    if (bytes) memcpy(buffer, member->rest, bytes);
    ssize_t got = recv(member->fd, buffer + bytes, sizeof buffer - bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        if (got < 0) failed("socket %s", strerrorname_np(errno));
        else failed("closed without a close frame");
        drop(member);
        return;
    }
    int64_t at_ns = clock_ns();
    now.all.reads++;
    now.all.bytes += (uint64_t)got;
    bytes += (size_t)got;
    size_t at = 0;
    if (member->state == UPGRADING) at = upgraded(member, buffer, bytes, at_ns);
    while (member->state >= ENTERING) {
        frame_t frame;
        int found = read_frame(buffer + at, bytes - at, &frame);
        if (found == 0) break;
        if (found < 0 || frame.mask != NULL) {
            failed("bad bytes");
            drop(member);
            return;
        }
        took(member, number, &frame, at_ns);
        at += frame.frame_bytes;
    }
    if (member->state == AWAY) return;
    if (bytes - at == sizeof buffer) {
        failed("a frame too large");
        drop(member);
        return;
    }
    if (member->rest_bytes || bytes > at) {
        free(member->rest);
        member->rest_bytes = bytes - at;
        member->rest = NULL;
        if (member->rest_bytes) {
            member->rest = must(malloc(member->rest_bytes));
            memcpy(member->rest, buffer + at, member->rest_bytes);
        }
    }
}
