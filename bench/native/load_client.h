/* What the orders (load_client.c) and the members (member.c) share. */
#ifndef TIPROOM_BENCH_LOAD_CLIENT_H
#define TIPROOM_BENCH_LOAD_CLIENT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define DIGITS 8 /* of a running number */
#define KINDS_MAX 32

enum state { AWAY, CONNECTING, UPGRADING, ENTERING, IN };

typedef struct {
    int fd;
    enum state state;
    int64_t began_ns;
    uint8_t *hello, *after;
    uint32_t hello_bytes, after_bytes;
    uint8_t *rest; /* of a frame that is not complete */
    size_t rest_bytes;
} member_t;

typedef struct {
    uint8_t bytes[64];
    size_t size;
} pattern_t;

typedef struct {
    int64_t *values;
    size_t count, room;
} samples_t;

enum order { NONE, JOIN, WINDOW, RATE, WATCH };

typedef struct {
    uint64_t frames, others, bytes, reads, published, joined;
    double cpu_s;
} counts_t;

/* What runs now, and what came of it. */
typedef struct {
    enum order kind;
    int64_t began_ns, measured_from_ns, ends_ns;
    int begun;
    counts_t all, before; /* since it began; and before it was measured */
    samples_t samples;
    struct { char name[64]; uint64_t count; } kinds[KINDS_MAX];
    uint64_t join_count, join_at_once, under_way;
    uint8_t *message;
    size_t message_bytes, number_at;
    uint32_t first, count, turn;
    uint64_t due, reconnects;
    double per_s;
} work_t;

extern work_t now;
extern member_t *members;
extern uint64_t in_count;
extern pattern_t ready, marker;
extern size_t marker_hint; /* where the marker was found last */
extern int epoll_fd;
extern struct sockaddr_in address;
extern int64_t *sent_ns; /* by running number */

void die(const char *what) __attribute__((noreturn));
void *must(void *memory);
int64_t clock_ns(void);
void sample(int64_t value);
/* One more failure of a kind. */
void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

void begin(member_t *member, uint32_t number);
void connected(member_t *member, uint32_t number);
void receive(member_t *member, uint32_t number);
/* 1: the kernel took it; 0: the member is lost. */
int say(member_t *member, const void *bytes, size_t size);
void drop(member_t *member);

#endif
