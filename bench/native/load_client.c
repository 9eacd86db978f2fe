/* The load client of the comparison: all members in one epoll loop, for every server the same.

   load_client PORT MEMBERS_FILE READY
     MEMBERS_FILE  of each member: u32 n, n bytes to send once connected (the HTTP upgrade);
                   u32 n, n bytes to send once upgraded (may be none). Little-endian.
     READY         hex bytes; a member is in once it receives a message with them. "": once upgraded.

   Orders come as lines on stdin, one at a time; each is answered by one line of JSON on stdout:
     join COUNT AT_ONCE TIMEOUT_S             the lowest COUNT numbers that are not in
     leave FIRST COUNT
     window FILE FIRST COUNT MARKER DUE WARM_S S
                                              DUE messages under way to everyone, for WARM_S + S: the
                                              next is sent once one has reached every member
     rate FILE FIRST COUNT MARKER PER_S WARM_S S
                                              evenly spaced; latency of each at the member 0
     watch MARKER S RECONNECTS_PER_S FIRST COUNT
                                              only receive, while these members leave and come back
   FILE holds one whole client frame with the text ########, the place of a running number; FIRST
   and COUNT name the members that send, in turn; MARKER is hex and tells what is counted: in the
   first SEARCHED_BYTES of a message. Behind it stands the number wherever latency is asked for.
   After WARM_S, of a watch at once, comes a line "begun"; only what follows is in the answer.
   Sockets are served all the time, also between orders. The end of stdin ends it. */

#define _GNU_SOURCE
#include "load_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READY_MAX 128 /* sockets served before the clock is looked at again */
#define NS_PER_S 1000000000LL
#define DRAIN_NS (3 * NS_PER_S) /* for what is still on its way when the last has been sent */
#define STDIN_KEY UINT32_MAX

work_t now;
member_t *members;
uint64_t in_count;
pattern_t ready, marker;
size_t marker_hint;
int epoll_fd;
struct sockaddr_in address;
int64_t *sent_ns;

static uint32_t members_count;
static size_t sent_room;

void die(const char *what) {
    fprintf(stderr, "load_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

void *must(void *memory) {
    if (memory == NULL) die("memory");
    return memory;
}

int64_t clock_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

void sample(int64_t value) {
    samples_t *all = &now.samples;
    if (all->count == all->room) {
        all->room = all->room ? 2 * all->room : 4096;
        all->values = must(realloc(all->values, all->room * sizeof *all->values));
    }
    all->values[all->count++] = value;
}

void failed(const char *format, ...) {
    char name[64];
    va_list parts;
    va_start(parts, format);
    vsnprintf(name, sizeof name, format, parts);
    va_end(parts);
    for (int kind = 0; kind < KINDS_MAX; kind++) {
        if (now.kinds[kind].count == 0) memcpy(now.kinds[kind].name, name, sizeof name);
        if (strcmp(now.kinds[kind].name, name) == 0) {
            now.kinds[kind].count++;
            return;
        }
    }
}

/* ---- orders -------------------------------------------------------------------------------- */

static void start(enum order kind, double warm_up_s, double seconds) {
    samples_t samples = now.samples;
    uint64_t under_way = now.under_way;
    free(now.message);
    memset(&now, 0, sizeof now);
    samples.count = 0;
    now.samples = samples;
    now.under_way = under_way;
    now.kind = kind;
    now.all.cpu_s = cpu_s();
    now.before = now.all;
    now.began_ns = clock_ns();
    now.measured_from_ns = now.began_ns + (int64_t)(warm_up_s * 1e9);
    now.ends_ns = now.measured_from_ns + (int64_t)(seconds * 1e9);
    now.begun = warm_up_s <= 0;
    marker_hint = 0;
}

static void say_begun(void) {
    puts("begun");
    fflush(stdout);
}

static void begin_measuring(int64_t at_ns) {
    now.begun = 1;
    now.measured_from_ns = at_ns;
    now.all.cpu_s = cpu_s();
    now.before = now.all;
    now.samples.count = 0;
    say_begun();
}

static void finish(void) {
    const counts_t *all = &now.all, *before = &now.before;
    printf("{\"seconds\":%.6f,\"cpu_s\":%.6f,\"members\":%llu,\"frames\":%llu,\"others\":%llu,"
           "\"bytes\":%llu,\"reads\":%llu,\"published\":%llu,\"joined\":%llu,\"failures\":{",
           (double)(clock_ns() - now.measured_from_ns) / 1e9, cpu_s() - before->cpu_s,
           (unsigned long long)in_count, (unsigned long long)(all->frames - before->frames),
           (unsigned long long)(all->others - before->others),
           (unsigned long long)(all->bytes - before->bytes),
           (unsigned long long)(all->reads - before->reads),
           (unsigned long long)(all->published - before->published),
           (unsigned long long)(all->joined - before->joined));
    for (int kind = 0; kind < KINDS_MAX && now.kinds[kind].count; kind++)
        printf("%s\"%s\":%llu", kind ? "," : "", now.kinds[kind].name,
               (unsigned long long)now.kinds[kind].count);
    printf("},\"samples_ns\":[");
    for (size_t at = 0; at < now.samples.count; at++)
        printf("%s%lld", at ? "," : "", (long long)now.samples.values[at]);
    printf("]}\n");
    fflush(stdout);
    now.kind = NONE;
}

static void join_more(void) {
    static uint32_t next;
    for (uint32_t looked = 0; looked < members_count && now.under_way < now.join_at_once &&
                              now.all.joined + now.under_way < now.join_count;) {
        if (next >= members_count) next = 0;
        if (members[next].state == AWAY) begin(&members[next], next);
        else looked++;
        next++;
    }
}

static void publish(void) {
    if (now.all.published == 100000000) {
        failed("out of numbers");
        return;
    }
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%08u", (unsigned)(now.all.published % 100000000));
    memcpy(now.message + now.number_at, digits, DIGITS);
    if (now.all.published == sent_room) {
        sent_room = sent_room ? 2 * sent_room : 4096;
        sent_ns = must(realloc(sent_ns, sent_room * sizeof *sent_ns));
    }
    member_t *sender = &members[now.first + now.turn];
    now.turn = (now.turn + 1) % now.count;
    sent_ns[now.all.published++] = clock_ns();
    if (sender->state == IN) say(sender, now.message, now.message_bytes);
    else failed("sent on a lost socket");
}

static void reconnect(void) {
    member_t *member = &members[now.first + now.turn];
    now.reconnects++;
    if (member->state == IN) {
        drop(member);
        begin(member, now.first + now.turn);
    } else {
        failed("not in when it should leave");
    }
    now.turn = (now.turn + 1) % now.count;
}

static int64_t on_time(uint64_t number) {
    return now.began_ns + (int64_t)((double)number / now.per_s * 1e9);
}

/* What the order of the moment has to do now; returns when it has more to do. */
static int64_t attend(void) {
    int64_t at_ns = clock_ns(), next_ns = now.ends_ns;
    int over = at_ns >= now.ends_ns;
    if (now.kind == NONE) return INT64_MAX;
    if (!now.begun && at_ns >= now.measured_from_ns) begin_measuring(at_ns);
    if (!now.begun) next_ns = now.measured_from_ns;
    if (now.kind == JOIN) {
        if (now.all.joined < now.join_count && over) failed("not in in time");
        over = over || now.all.joined >= now.join_count;
        if (!over) join_more();
    } else if (now.kind == WINDOW) {
        while (!over && in_count && now.all.published < now.due + now.all.frames / in_count)
            publish();
    } else if (now.kind == RATE) {
        while (on_time(now.all.published) <= at_ns && on_time(now.all.published) < now.ends_ns)
            publish();
        int64_t due_ns = on_time(now.all.published);
        if (over) {
            next_ns = now.ends_ns + DRAIN_NS;
            over = at_ns >= next_ns ||
                   now.samples.count >= now.all.published - now.before.published;
        } else if (due_ns < next_ns) {
            next_ns = due_ns;
        }
    } else if (now.kind == WATCH && now.per_s > 0) {
        while (on_time(now.reconnects + 1) <= at_ns && !over) reconnect();
        if (on_time(now.reconnects + 1) < next_ns) next_ns = on_time(now.reconnects + 1);
    }
    if (over) {
        finish();
        return INT64_MAX;
    }
    return next_ns;
}

static int read_hex(const char *text, pattern_t *pattern) {
    size_t digits = strlen(text);
    if (digits % 2 || digits / 2 > sizeof pattern->bytes) return 0;
    pattern->size = digits / 2;
    for (size_t at = 0; at < pattern->size; at++)
        if (sscanf(text + 2 * at, "%2hhx", &pattern->bytes[at]) != 1) return 0;
    return 1;
}

static uint8_t *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) < 0) die(path);
    *size = (size_t)facts.st_size;
    uint8_t *data = must(malloc(*size + 1));
    for (size_t done = 0; done < *size;) {
        ssize_t got = read(fd, data + done, *size - done);
        if (got <= 0) die(path);
        done += (size_t)got;
    }
    close(fd);
    return data;
}

static void load_message(const char *path, uint32_t first, uint32_t count) {
    now.message = read_file(path, &now.message_bytes);
    uint8_t *place = memmem(now.message, now.message_bytes, "########", DIGITS);
    if (place == NULL || count == 0 || first + count > members_count) {
        errno = EINVAL;
        die(path);
    }
    now.number_at = (size_t)(place - now.message);
    now.first = first;
    now.count = count;
}

static void obey(const char *line) {
    char path[512], hex[129];
    unsigned first, count, due;
    double warm_up_s, seconds, per_s;
    if (sscanf(line, "join %u %u %lf", &count, &due, &seconds) == 3) {
        start(JOIN, 0, seconds);
        now.join_count = count;
        now.join_at_once = due;
    } else if (sscanf(line, "leave %u %u", &first, &count) == 2 && first + count <= members_count) {
        start(NONE, 0, 0);
        for (unsigned at = first; at < first + count; at++) drop(&members[at]);
        finish();
    } else if (sscanf(line, "window %511s %u %u %128s %u %lf %lf", path, &first, &count, hex, &due,
                      &warm_up_s, &seconds) == 7 && read_hex(hex, &marker)) {
        start(WINDOW, warm_up_s, seconds);
        load_message(path, first, count);
        now.due = due;
    } else if (sscanf(line, "rate %511s %u %u %128s %lf %lf %lf", path, &first, &count, hex, &per_s,
                      &warm_up_s, &seconds) == 7 && read_hex(hex, &marker)) {
        start(RATE, warm_up_s, seconds);
        load_message(path, first, count);
        now.per_s = per_s;
    } else if (sscanf(line, "watch %128s %lf %lf %u %u", hex, &seconds, &per_s, &first, &count) == 5
               && read_hex(hex, &marker) && count && first + count <= members_count) {
        start(WATCH, 0, seconds);
        now.per_s = per_s;
        now.first = first;
        now.count = count;
        say_begun();
    } else {
        errno = EINVAL;
        die(line);
    }
}

static void read_orders(void) {
    static char text[1024];
    static size_t held;
    ssize_t got = read(STDIN_FILENO, text + held, sizeof text - 1 - held);
    if (got <= 0) exit(0);
    held += (size_t)got;
    char *end;
    while ((end = memchr(text, '\n', held)) != NULL) {
        *end = '\0';
        obey(text);
        size_t used = (size_t)(end - text) + 1;
        memmove(text, end + 1, held - used);
        held -= used;
    }
}

/* ---- the loop ------------------------------------------------------------------------------ */

static uint32_t read_u32(const uint8_t *data, size_t *at, size_t size) {
    if (*at + 4 > size) {
        errno = EINVAL;
        die("members file");
    }
    uint32_t value = 0;
    for (int byte = 3; byte >= 0; byte--) value = value << 8 | data[*at + (size_t)byte];
    *at += 4;
    return value;
}

static uint8_t *read_part(uint8_t *data, size_t *at, size_t size, uint32_t *bytes) {
    *bytes = read_u32(data, at, size);
    if (*at + *bytes > size) {
        errno = EINVAL;
        die("members file");
    }
    uint8_t *part = data + *at;
    *at += *bytes;
    return part;
}

static void load_members(const char *path) {
    size_t size, at = 0, room = 0;
    uint8_t *data = read_file(path, &size);
    while (at < size) {
        if (members_count == room) {
            room = room ? 2 * room : 1024;
            members = must(realloc(members, room * sizeof *members));
        }
        member_t *member = &members[members_count++];
        memset(member, 0, sizeof *member);
        member->hello = read_part(data, &at, size, &member->hello_bytes);
        member->after = read_part(data, &at, size, &member->after_bytes);
    }
}

int main(int argc, char **argv) {
    if (argc != 4 || !read_hex(argv[3], &ready)) {
        fprintf(stderr, "usage: load_client PORT MEMBERS_FILE READY\n");
        return 2;
    }
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load_members(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event orders = {.events = EPOLLIN, .data.u32 = STDIN_KEY};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &orders) < 0) die("epoll");
    for (;;) {
        int64_t next_ns = attend();
        struct timespec patience, *wait = NULL;
        if (next_ns != INT64_MAX) {
            int64_t left_ns = next_ns - clock_ns();
            if (left_ns < 0) left_ns = 0;
            patience.tv_sec = left_ns / NS_PER_S;
            patience.tv_nsec = left_ns % NS_PER_S;
            wait = &patience;
        }
        struct epoll_event events[READY_MAX];
        int count = epoll_pwait2(epoll_fd, events, READY_MAX, wait, NULL);
        if (count < 0 && errno != EINTR) die("epoll_pwait2");
        for (int at = 0; at < count; at++) {
            uint32_t number = events[at].data.u32;
            if (number == STDIN_KEY) {
                read_orders();
                continue;
            }
            member_t *member = &members[number];
            if (member->state == AWAY) continue; /* dropped in this very batch */
            if (member->state == CONNECTING) connected(member, number);
            else receive(member, number);
        }
    }
}
