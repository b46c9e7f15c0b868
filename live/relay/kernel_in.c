/* What comes in, in batches: read, told apart by address, decrypted, and only then handed to Python. Optional like
 * kernel.c; udp.py does the same without it, one datagram at a time (tests/relay/test_kernel_in.py).
 *
 * A path is (address -> receiving context of libsrtp, number of its session). Media of a path is authenticated and
 * decrypted here once Python has let its SSRC in; STUN, DTLS and other media of a path go up as they came; the rest is
 * dropped and counted. Viewers say the same several times a second: of a path marked `quiet` a compound that only says that all is
 * well goes up once in `calm_ms`, anything else at once (RFC 3550 section 6, RFC 4585).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SLOT 2048
#define BATCH 64
#define ADDRESS 32 /* a sockaddr_in or sockaddr_in6, and zeros */
#define LONGEST 1600
#define KEY 24
#define SOURCES 16

enum { RAW = 0, RTP = 1, RTCP = 2, STUN = 3 };
enum { FREE = 0, TAKEN = 1, GONE = 2 };

typedef int (*unprotect_fn)(void *context, void *packet, int *length);

typedef struct {
  uint8_t key[KEY];
  uint64_t context, number;
  int64_t calm_since_ms; /* when one that said that all is well went up last */
  uint32_t sources[SOURCES]; /* SSRCs that Python let in: libsrtp clones a context for each it meets */
  uint8_t state, quiet, known;
} path_t;

typedef struct {
  path_t *slots;
  uint32_t size, taken, used; /* `size` is a power of two; `used` counts what is gone, too */
} table_t;

static void key_of(const uint8_t *address, uint8_t *key) {
  const struct sockaddr_in *four = (const void *)address;
  const struct sockaddr_in6 *six = (const void *)address;
  memset(key, 0, KEY);
  if (four->sin_family == AF_INET) {
    memcpy(key, &four->sin_port, 2);
    memcpy(key + 4, &four->sin_addr, 4);
    return;
  }
  memcpy(key, &six->sin6_port, 2);
  key[2] = 6;
  memcpy(key + 4, &six->sin6_addr, 16);
  memcpy(key + 20, &six->sin6_scope_id, 4);
}

static uint32_t hash_of(const uint8_t *key) {
  uint64_t words[KEY / 8], mixed = 0x9e3779b97f4a7c15u;
  memcpy(words, key, KEY);
  for (int i = 0; i < KEY / 8; i++) {
    mixed = (mixed ^ words[i]) * 0xff51afd7ed558ccdu;
    mixed ^= mixed >> 32;
  }
  return (uint32_t)mixed;
}

static path_t *find(const table_t *table, const uint8_t *key) {
  for (uint32_t at = hash_of(key) & (table->size - 1);; at = (at + 1) & (table->size - 1)) {
    path_t *path = &table->slots[at];
    if (path->state == FREE) return NULL;
    if (path->state == TAKEN && memcmp(path->key, key, KEY) == 0) return path;
  }
}

static void place(table_t *table, const path_t *path) {
  uint32_t at = hash_of(path->key) & (table->size - 1);
  while (table->slots[at].state == TAKEN) at = (at + 1) & (table->size - 1);
  if (table->slots[at].state == FREE) table->used++;
  table->slots[at] = *path;
  table->taken++;
}

static int rebuild(table_t *table) { /* never more than half used, so that a search ends */
  uint32_t size = 64;
  while (size < (table->taken + 1) * 4) size *= 2;
  table_t fresh = {calloc(size, sizeof(path_t)), size, 0, 0};
  if (fresh.slots == NULL) return -1;
  for (uint32_t at = 0; at < table->size; at++)
    if (table->slots[at].state == TAKEN) place(&fresh, &table->slots[at]);
  free(table->slots);
  *table = fresh;
  return 0;
}

void *frontrow_paths(void) {
  table_t *table = calloc(1, sizeof *table);
  if (table != NULL && rebuild(table)) {
    free(table);
    return NULL;
  }
  return table;
}

void frontrow_paths_free(void *paths) {
  table_t *table = paths;
  free(table->slots);
  free(table);
}

/* A context of 0: known, but not connected yet. -1: out of memory. */
int frontrow_path_put(void *paths, const uint8_t *address, uint64_t context, uint64_t number, int quiet) {
  table_t *table = paths;
  path_t path = {.context = context, .number = number, .state = TAKEN, .quiet = (uint8_t)quiet};
  key_of(address, path.key);
  path_t *known = find(table, path.key);
  if (known != NULL) {
    *known = path;
    return 0;
  }
  if ((table->used + 1) * 2 > table->size && rebuild(table)) return -1;
  place(table, &path);
  return 0;
}

void frontrow_path_remove(void *paths, const uint8_t *address) {
  table_t *table = paths;
  uint8_t key[KEY];
  key_of(address, key);
  path_t *path = find(table, key);
  if (path != NULL) {
    path->state = GONE;
    path->context = 0;
    table->taken--;
  }
}

static int knows(const path_t *path, const uint8_t *place) {
  uint32_t source;
  memcpy(&source, place, sizeof source);
  for (int i = 0; i < path->known; i++)
    if (path->sources[i] == source) return 1;
  return 0;
}

/* Media of that SSRC may be decrypted here from now on. Said again for each datagram of a batch that it was new in. */
void frontrow_path_knows(void *paths, const uint8_t *address, uint32_t source) {
  uint8_t key[KEY];
  key_of(address, key);
  path_t *path = find(paths, key);
  if (path != NULL && path->known < SOURCES && !knows(path, (const uint8_t *)&source))
    path->sources[path->known++] = source;
}

/* Whether a compound says nothing but "all is well": reports without loss, names, and an estimate of the rate. */
static int all_is_well(const uint8_t *packet, int size) {
  for (int at = 0; at + 4 <= size;) {
    int length = 4 * ((packet[at + 2] << 8 | packet[at + 3]) + 1), form = packet[at] & 31, kind = packet[at + 1];
    if (packet[at] >> 6 != 2 || at + length > size) return 0;
    if (kind == 201) {
      if (length < 8 + 24 * form) return 0;
      for (int block = 0; block < form; block++)
        if (packet[at + 8 + 24 * block + 4] != 0) return 0; /* a share was lost */
    } else if (kind == 206) {
      if (form != 15 || length < 20 || memcmp(packet + at + 12, "REMB", 4) != 0) return 0;
    } else if (kind != 202) {
      return 0;
    }
    at += length;
  }
  return 1;
}

/* Reads one batch. Returns how many datagrams go up (0: maybe more are waiting), or -1 when there was nothing to read.
 * Each of those: `kinds`, `lengths`, `places` (its slot in `data` and in `addresses`) and `numbers` (0: no path).
 * `counts`: read, strays, altered, calm; added to. */
int frontrow_receive(void *paths, uintptr_t unprotect_address, uintptr_t unprotect_rtcp_address, int fd, int64_t now_ms,
                     int64_t calm_ms, uint8_t *data, uint8_t *addresses, int32_t *kinds, int32_t *lengths,
                     int32_t *places, uint64_t *numbers, int64_t *counts) {
  const unprotect_fn unprotect = (unprotect_fn)unprotect_address, unprotect_rtcp = (unprotect_fn)unprotect_rtcp_address;
  table_t *table = paths;
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    pieces[i] = (struct iovec){data + (size_t)i * SLOT, SLOT};
    messages[i].msg_hdr.msg_name = addresses + (size_t)i * ADDRESS;
    messages[i].msg_hdr.msg_namelen = ADDRESS;
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL), up = 0;
  if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0; /* else an ICMP error of an earlier send */
  counts[0] += got;
  for (int i = 0; i < got; i++) {
    uint8_t *packet = data + (size_t)i * SLOT, key[KEY];
    int length = (int)messages[i].msg_len, kind = RAW;
    if (length == 0) continue;
    path_t *path = NULL;
    if (packet[0] < 4) { /* RFC 7983 */
      kind = STUN;
    } else {
      key_of(addresses + (size_t)i * ADDRESS, key);
      path = find(table, key);
      if (path == NULL) {
        counts[1]++;
        continue;
      }
      int rtcp = packet[1] >= 192 && packet[1] <= 223; /* RFC 5761 section 4 */
      if (packet[0] > 127 && packet[0] < 192 && path->context != 0 && length >= 12 && length <= LONGEST &&
          knows(path, packet + (rtcp ? 4 : 8))) {
        kind = rtcp ? RTCP : RTP;
        if ((kind == RTCP ? unprotect_rtcp : unprotect)((void *)(uintptr_t)path->context, packet, &length)) {
          counts[2]++;
          continue;
        }
        if (kind == RTCP && path->quiet && all_is_well(packet, length)) { /* counted apart: who NACKs all the time reports, too */
          if (now_ms - path->calm_since_ms < calm_ms) {
            counts[3]++;
            continue;
          }
          path->calm_since_ms = now_ms;
        }
      }
    }
    kinds[up] = kind;
    lengths[up] = length;
    places[up] = i;
    numbers[up++] = path != NULL ? path->number : 0;
  }
  return up;
}
