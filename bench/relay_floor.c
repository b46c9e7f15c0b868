/* The floor that the relay is measured against: AES-128-GCM by the same libsrtp, and the kernel; nothing else.
 *
 * Each viewer has a context and an address. A frame is `count` packets of `size` bytes; per viewer it is copied, its
 * numbers are written, it is protected, and it leaves by `count` sendto() or by one sendmsg() with UDP_SEGMENT (GSO).
 * After each frame come as many lone packets of `small` bytes as keep 50 sounds a second beside 30 pictures.
 * `host`: where all viewers are, in network order. Returns the number of packets that left; the caller reads the CPU time around it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

typedef int (*protect_fn)(void *context, void *packet, int *length);

static void head(uint8_t *packet, uint16_t seq, uint32_t timestamp, uint32_t ssrc) {
  packet[0] = 0x80;
  packet[1] = 102;
  seq = htons(seq);
  timestamp = htonl(timestamp);
  ssrc = htonl(ssrc);
  memcpy(packet + 2, &seq, 2);
  memcpy(packet + 4, &timestamp, 4);
  memcpy(packet + 8, &ssrc, 4);
}

static int send_run(int fd, uint8_t *data, size_t total, size_t stride, int count, int gso, struct sockaddr_in *to) {
  if (!gso || count == 1) {
    int sent = 0;
    for (int i = 0; i < count; i++)
      sent += sendto(fd, data + (size_t)i * stride, stride, MSG_DONTWAIT, (struct sockaddr *)to, sizeof *to) > 0;
    return sent;
  }
  char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
  struct iovec piece = {data, total};
  struct msghdr message = {to, sizeof *to, &piece, 1, control, sizeof control, 0};
  struct cmsghdr *segment = CMSG_FIRSTHDR(&message);
  segment->cmsg_level = 17;
  segment->cmsg_type = UDP_SEGMENT;
  segment->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  *(uint16_t *)CMSG_DATA(segment) = (uint16_t)stride;
  return sendmsg(fd, &message, MSG_DONTWAIT) > 0 ? count : 0;
}

long floor_loop(uintptr_t protect_address, const uintptr_t *contexts, const uint16_t *ports, int viewers, int fd,
                int frames, int count, int size, int small, int gso, int first_seq, uint32_t host) {
  protect_fn protect = (protect_fn)protect_address;
  static uint8_t plain[65536], work[65536];
  size_t stride = (size_t)size + 16;
  long sent = 0;
  uint16_t seq = (uint16_t)first_seq, sound = (uint16_t)first_seq;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = host};
  memset(plain, 0x5a, sizeof plain);
  for (int frame = 0; frame < frames; frame++) {
    int sounds = 1 + (frame % 3 != 0); /* five in three frames */
    for (int viewer = 0; viewer < viewers; viewer++) {
      to.sin_port = htons(ports[viewer]);
      memcpy(work, plain, stride * (size_t)count);
      for (int i = 0; i < count; i++) {
        int length = size;
        head(work + (size_t)i * stride, (uint16_t)(seq + i), (uint32_t)frame * 3000, 7);
        if (protect((void *)contexts[viewer], work + (size_t)i * stride, &length)) return -1;
      }
      sent += send_run(fd, work, stride * (size_t)count, stride, count, gso, &to);
      for (int i = 0; i < sounds; i++) {
        int length = small;
        memcpy(work, plain, (size_t)small);
        head(work, (uint16_t)(sound + i), (uint32_t)frame * 1600, 8);
        if (protect((void *)contexts[viewer], work, &length)) return -1;
        sent += send_run(fd, work, (size_t)length, (size_t)length, 1, 0, &to);
      }
    }
    seq = (uint16_t)(seq + count);
    sound = (uint16_t)(sound + sounds);
  }
  return sent;
}
