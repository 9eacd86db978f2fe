/* RFC 6455, as little of it as a load client and a control server need: whole frames, no
   extensions. Shared by both. */
#ifndef TIPROOM_BENCH_WEBSOCKET_H
#define TIPROOM_BENCH_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

enum { OP_TEXT = 0x1, OP_BINARY = 0x2, OP_CLOSE = 0x8, OP_PING = 0x9, OP_PONG = 0xA };

#define FIN 0x80
#define MASKED 0x80
#define HEADER_BYTES_MAX 14

typedef struct {
    int opcode;
    const uint8_t *mask; /* NULL: not masked */
    uint8_t *payload;
    size_t payload_bytes;
    size_t frame_bytes;
} frame_t;

/* 1: `frame` is the first whole frame of `data`; 0: it is not complete; -1: not a whole message. */
static inline int read_frame(uint8_t *data, size_t bytes, frame_t *frame) {
    if (bytes < 2) return 0;
    if (!(data[0] & FIN) || (data[0] & 0x70)) return -1;
    size_t size = data[1] & 0x7F, at = 2;
    if (size == 126) {
        if (bytes < 4) return 0;
        size = (size_t)data[2] << 8 | data[3];
        at = 4;
    } else if (size == 127) {
        if (bytes < 10) return 0;
        size = 0;
        for (int byte = 2; byte < 10; byte++) size = size << 8 | data[byte];
        at = 10;
    }
    frame->mask = NULL;
    if (data[1] & MASKED) {
        frame->mask = data + at;
        at += 4;
    }
    if (size > SIZE_MAX - at || at + size > bytes) return 0;
    frame->opcode = data[0] & 0x0F;
    frame->payload = data + at;
    frame->payload_bytes = size;
    frame->frame_bytes = at + size;
    return 1;
}

/* The header of an unmasked (server's) or zero-masked (client's) frame; returns its bytes. With the
   key 0 the payload stays as it is: the server does the same work, the client none. */
static inline size_t write_header(uint8_t *out, int opcode, size_t size, int masked) {
    size_t at = 0;
    uint8_t flag = masked ? MASKED : 0;
    out[at++] = (uint8_t)(FIN | opcode);
    if (size < 126) {
        out[at++] = (uint8_t)(flag | size);
    } else if (size < 65536) {
        out[at++] = flag | 126;
        out[at++] = (uint8_t)(size >> 8);
        out[at++] = (uint8_t)size;
    } else {
        out[at++] = flag | 127;
        for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (uint8_t)((uint64_t)size >> shift);
    }
    if (masked)
        for (int byte = 0; byte < 4; byte++) out[at++] = 0;
    return at;
}

#endif
