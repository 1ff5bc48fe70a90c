#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

_Noreturn void fail(const char *message, const char *reason)
{
    fprintf(stderr, "error: %s: %s\n", message, reason);
    exit(1);
}

/* ---- bytes ---- */

static void bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->capacity - bytes->len >= more)
        return;
    size_t capacity = bytes->capacity ? bytes->capacity : 256;
    while (capacity - bytes->len < more)
        capacity *= 2;
    bytes->data = realloc(bytes->data, capacity);
    if (!bytes->data)
        fail("cannot grow a buffer", "out of memory");
    bytes->capacity = capacity;
}

void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    if (len == 0)
        return;
    bytes_reserve(bytes, len);
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void bytes_drop_front(struct bytes *bytes, size_t len)
{
    bytes->len -= len;
    if (bytes->len == 0)
        bytes_free(bytes);
    else
        memmove(bytes->data, bytes->data + len, bytes->len);
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

static void add_text(struct bytes *bytes, const char *text)
{
    bytes_add(bytes, text, strlen(text));
}

static void add_number(struct bytes *bytes, unsigned long number)
{
    char digits[24];
    char *first = digits + sizeof digits;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    bytes_add(bytes, first, (size_t)(digits + sizeof digits - first));
}

/* ---- work ---- */

static void compute(const char *text, size_t len, struct bytes *replies)
{
    /* EVP_sha256() would be looked up again at every use (crypto(7), "Performance"). */
    static _Thread_local EVP_MD *algorithm;
    static _Thread_local EVP_MD_CTX *context;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;

    if (!algorithm) {
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        context = EVP_MD_CTX_new();
    }
    if (!algorithm || !context || !EVP_DigestInit_ex2(context, algorithm, NULL) ||
        !EVP_DigestUpdate(context, text, len) ||
        !EVP_DigestFinal_ex(context, digest, &digest_len))
        fail("cannot compute a SHA-256", "libcrypto refused");

    char hex[2 * EVP_MAX_MD_SIZE];
    for (unsigned i = 0; i < digest_len; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    add_text(replies, "result: ");
    bytes_add(replies, hex, 2 * digest_len);
    add_text(replies, "\r\n");
}

/* The CPU time that this thread has used, in nanoseconds. */
static long long cpu_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

void work_run(const struct work *work, struct bytes *replies)
{
    if (work->kind == COMPUTE) {
        compute(work->text, work->len, replies);
        return;
    }
    long long end = cpu_time() + work->ms * 1000000LL;
    while (cpu_time() < end)
        ;
    add_text(replies, "result: burned ");
    add_number(replies, work->ms);
    add_text(replies, "\r\n");
}

/* ---- protocol ---- */

struct text {
    const char *at;
    size_t len;
};

static struct text skip_spaces(struct text text)
{
    while (text.len > 0 && *text.at == ' ')
        text.at++, text.len--;
    return text;
}

static bool is(struct text verb, const char *name)
{
    return verb.len == strlen(name) && strncasecmp(verb.at, name, verb.len) == 0;
}

/* The only argument in the text: decimal digits, worth at most max. -1 if it is anything else. */
static long number(struct text text, long max)
{
    text = skip_spaces(text);
    while (text.len > 0 && text.at[text.len - 1] == ' ')
        text.len--;
    if (text.len == 0)
        return -1;
    long value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value = value * 10 + (text.at[i] - '0');
        if (value > max)
            return -1;
    }
    return value;
}

/* How long the end of line at the front is; 0 if it has not all come, -1 if something else is there. */
static int end_of_line(const char *input, size_t len)
{
    if (len > 0 && input[0] == '\n')
        return 1;
    if (len > 1 && input[0] == '\r' && input[1] == '\n')
        return 2;
    return len == 0 || (len == 1 && input[0] == '\r') ? 0 : -1;
}

struct answered answer(const char *input, size_t len, struct bytes *replies, work_function *on_work,
                       void *context)
{
    size_t consumed = 0;
    const char *line_feed;

    while ((line_feed = memchr(input + consumed, '\n', len - consumed))) {
        size_t header = (size_t)(line_feed - input) + 1;
        struct text line = {input + consumed, (size_t)(line_feed - input) - consumed};
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        line = skip_spaces(line);
        const char *space = memchr(line.at, ' ', line.len);
        struct text verb = {line.at, space ? (size_t)(space - line.at) : line.len};
        struct text rest = {line.at + line.len, 0};
        if (space)
            rest = (struct text){space + 1, line.len - verb.len - 1};
        bool alone = skip_spaces(rest).len == 0;

        if (is(verb, "echo")) {
            long announced = number(rest, 2147483647);
            if (announced < 0) {
                add_text(replies,
                         "CLIENT_ERROR echo takes one number: the length of the body\r\n");
                consumed = header;
                continue;
            }
            size_t body = (size_t)announced;
            if (len - header < body)
                break;
            int eol = end_of_line(input + header + body, len - header - body);
            if (eol == 0)
                break;
            if (eol < 0) {
                add_text(replies, "CLIENT_ERROR bad data chunk\r\n");
                return (struct answered){.consumed = len, .quit = true};
            }
            bytes_reserve(replies, body + 32);
            add_text(replies, "ECHO ");
            add_number(replies, body);
            add_text(replies, "\r\n");
            bytes_add(replies, input + header, body);
            add_text(replies, "\r\n");
            header += body + (size_t)eol;
        } else if (is(verb, "mn")) {
            add_text(replies,
                     alone ? "MN\r\n" : "CLIENT_ERROR this request takes no argument\r\n");
        } else if (is(verb, "compute")) {
            struct work work = {.kind = COMPUTE, .text = rest.at, .len = rest.len};
            replies = on_work(context, &work, replies);
        } else if (is(verb, "burn")) {
            long ms = number(rest, 10000);
            if (ms < 0) {
                add_text(replies, "CLIENT_ERROR burn takes milliseconds, at most 10000\r\n");
            } else {
                struct work work = {.kind = BURN, .ms = (unsigned)ms};
                replies = on_work(context, &work, replies);
            }
        } else if (is(verb, "version")) {
            add_text(replies, alone ? "VERSION 0.1.0\r\n"
                                    : "CLIENT_ERROR this request takes no argument\r\n");
        } else if (is(verb, "fail") || is(verb, "panic")) {
            /* Nobody panics here: what is compared is the happy path. */
            if (rest.len == 0) {
                add_text(replies, "CLIENT_ERROR a message is missing\r\n");
            } else {
                add_text(replies, is(verb, "fail") ? "SERVER_ERROR "
                                                   : "SERVER_ERROR task panicked: ");
                bytes_add(replies, rest.at, rest.len);
                add_text(replies, "\r\n");
            }
        } else if (is(verb, "quit") && alone) {
            return (struct answered){.consumed = header, .quit = true};
        } else if (is(verb, "quit")) {
            add_text(replies, "CLIENT_ERROR this request takes no argument\r\n");
        } else {
            add_text(replies, "ERROR\r\n");
        }
        consumed = header;
    }
    return (struct answered){.consumed = consumed};
}

/* ---- set-up ---- */

static _Noreturn void usage(const char *program, bool has_pool)
{
    fprintf(stderr, "Usage: %s %s[PORT]\n", program, has_pool ? "[--workers N] " : "");
    exit(2);
}

struct options parse_options(int argc, char **argv, bool has_pool)
{
    static const struct option with_pool[] = {{"workers", required_argument, NULL, 'w'}, {0}};
    static const struct option without_pool[] = {{0}};
    struct options options = {.port = 9090, .workers = "4"};
    int option;

    while ((option = getopt_long(argc, argv, "", has_pool ? with_pool : without_pool, NULL)) != -1) {
        if (option != 'w' || atoi(optarg) < 1)
            usage(argv[0], has_pool);
        options.workers = optarg;
    }
    if (optind < argc) {
        char *end;
        long port = strtol(argv[optind], &end, 10);
        if (*end != '\0' || end == argv[optind] || port < 0 || port > 65535 || optind + 1 < argc)
            usage(argv[0], has_pool);
        options.port = (int)port;
    }
    return options;
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void announce(int listener)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        fail("cannot tell where this listens", strerror(errno));
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}
