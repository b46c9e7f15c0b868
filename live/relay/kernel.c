/* One run of packets to all viewers of a group: copied, protected and sent without Python. Optional: `kernel.py` builds
 * it when a compiler is there, and `fanout.py` does the same without it, byte for byte (tests/relay/test_kernel.py).
 *
 * libsrtp is not linked: its `srtp_protect` comes as an address out of pylibsrtp's library, so that both sides of the
 * process use one and the same. A batch of viewers leaves by one sendmmsg(); a run of several packets is one message
 * with UDP_SEGMENT (GSO) when `gso` says so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define UDP_LEVEL 17
#define BATCH 64

#define REFUSED_BY_SRTP (-1)  /* some packet would have left in the clear: none did */
#define GSO_REFUSED 0x10000   /* | errno: sent one by one instead */
#define GSO_REFUSED_LOST 0x20000 /* | errno: and that failed, too */

typedef int (*protect_fn)(void *context, void *packet, int *length);
typedef union {
  char bytes[CMSG_SPACE(sizeof(uint16_t))];
  struct cmsghdr aligned;
} control_t;

typedef struct {
  int fd, total, stride, count, address_bytes;
} run_t;

static int one_by_one(const run_t *run, uint8_t *data, const uint8_t *address) {
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  memset(messages, 0, sizeof messages[0] * (size_t)run->count);
  for (int i = 0; i < run->count; i++) {
    int start = run->stride * i, left = run->total - start;
    pieces[i] = (struct iovec){data + start, (size_t)(left < run->stride ? left : run->stride)};
    messages[i].msg_hdr.msg_name = (void *)address;
    messages[i].msg_hdr.msg_namelen = (socklen_t)run->address_bytes;
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (int done = 0; done < run->count;) {
    int sent = sendmmsg(run->fd, messages + done, (unsigned)(run->count - done), MSG_DONTWAIT);
    if (sent > 0)
      done += sent;
    else if (errno != EINTR)
      return errno;
  }
  return 0;
}

/* Returns how many of the `members` have a `status` other than 0, which is then an errno or one of the above.
 * `plain`: `count` packets at `stride`, their lengths in the clear in `sizes`; `total`: all of it, protected.
 * `addresses`: one sockaddr of `address_bytes` after the other. `work`: room for at least one run. */
int frontrow_send(uintptr_t protect_address, int fd, const uint8_t *plain, int total, int stride, const int32_t *sizes,
                  int count, const uint64_t *contexts, const uint8_t *addresses, int address_bytes, int members, int gso,
                  uint8_t *work, int work_bytes, int32_t *status) {
  protect_fn protect = (protect_fn)protect_address;
  const run_t run = {fd, total, stride, count, address_bytes};
  const int whole = (gso || count == 1), room = work_bytes / total;
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  control_t controls[BATCH];
  int who[BATCH], bad = 0;
  if (count > BATCH || room < 1) return -1;

  for (int first = 0; first < members;) {
    int filled = 0, taken = 0;
    while (first + taken < members && filled < BATCH && filled < room) {
      int member = first + taken++, refused = 0;
      uint8_t *data = work + (size_t)filled * (size_t)total;
      memcpy(data, plain, (size_t)total);
      for (int i = 0; i < count; i++) {
        int length = sizes[i];
        refused |= protect((void *)(uintptr_t)contexts[member], data + (size_t)i * (size_t)stride, &length);
      }
      status[member] = refused ? REFUSED_BY_SRTP : 0;
      if (refused) {
        bad++;
        continue;
      }
      const uint8_t *address = addresses + (size_t)member * (size_t)address_bytes;
      if (!whole) {
        status[member] = one_by_one(&run, data, address);
        bad += status[member] != 0;
        continue;
      }
      struct msghdr *message = &messages[filled].msg_hdr;
      memset(&messages[filled], 0, sizeof messages[filled]);
      pieces[filled] = (struct iovec){data, (size_t)total};
      message->msg_name = (void *)address;
      message->msg_namelen = (socklen_t)address_bytes;
      message->msg_iov = &pieces[filled];
      message->msg_iovlen = 1;
      if (count > 1) {
        message->msg_control = controls[filled].bytes;
        message->msg_controllen = sizeof controls[filled].bytes;
        struct cmsghdr *segment = CMSG_FIRSTHDR(message);
        segment->cmsg_level = UDP_LEVEL;
        segment->cmsg_type = UDP_SEGMENT;
        segment->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t size = (uint16_t)stride;
        memcpy(CMSG_DATA(segment), &size, sizeof size);
      }
      who[filled++] = member;
    }
    for (int done = 0; done < filled;) {
      int sent = sendmmsg(fd, messages + done, (unsigned)(filled - done), MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      int why = errno;
      if (why == EINTR) continue;
      if (count > 1 && (why == EINVAL || why == EIO || why == EMSGSIZE)) {
        int lost = one_by_one(&run, pieces[done].iov_base, messages[done].msg_hdr.msg_name);
        status[who[done]] = why | (lost ? GSO_REFUSED_LOST : GSO_REFUSED);
      } else {
        status[who[done]] = why;
      }
      bad++;
      done++;
    }
    first += taken;
  }
  return bad;
}
