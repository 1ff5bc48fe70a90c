/* What the peers in C share: the lab's protocol (notes/protocol.md), its CPU work, and set-up. */

#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that grow as needed. All zero is empty. */
struct bytes {
    char *data;
    size_t len;
    size_t capacity;
};

void bytes_add(struct bytes *bytes, const void *data, size_t len);
void bytes_drop_front(struct bytes *bytes, size_t len);
void bytes_free(struct bytes *bytes);

/* Work for a CPU. */
struct work {
    enum { COMPUTE, BURN } kind;
    const char *text; /* to hash; points into the input */
    size_t len;
    unsigned ms; /* to burn */
};

/* Does the work on this thread and adds the reply. */
void work_run(const struct work *work, struct bytes *replies);

/* Takes work that came up behind `replies`, and returns where the replies behind it go. */
typedef struct bytes *work_function(void *context, const struct work *work, struct bytes *replies);

struct answered {
    size_t consumed; /* bytes of the input that are not needed any more */
    bool quit;       /* the connection ends with the last reply */
};

/* Answers each whole request at the front of the input, in order. */
struct answered answer(const char *input, size_t len, struct bytes *replies, work_function *on_work,
                       void *context);

struct options {
    int port;
    const char *workers;
};

/* Reads the command line: [PORT] and, where there is a pool, --workers N. Exits if it is wrong. */
struct options parse_options(int argc, char **argv, bool has_pool);

/* Lets this process have as many descriptors as the administrator allows. */
void raise_descriptor_limit(void);

/* Says where this socket listens. */
void announce(int listener);

/* Ends the process with a message. */
_Noreturn void fail(const char *message, const char *reason);

/* Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn. */
enum { BACKLOG = 4096 };

/* Room for what is read at once; all connections share it. */
enum { READ = 64 * 1024 };

#endif
