/* libuv: uv_tcp_t with one read buffer for all, uv_try_write first, work for a CPU by
 * uv_queue_work. */

#include "lab.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Work under way, with its reply and the replies that have to wait behind it. */
struct job {
    uv_work_t request;
    struct connection *connection;
    struct work work;
    struct bytes text;
    struct bytes reply;
    struct bytes behind;
    bool done;
    struct job *next;
};

struct connection {
    uv_tcp_t tcp;
    struct bytes partial;    /* the beginning of a request whose rest has not come */
    struct job *oldest;      /* jobs in the order of their requests */
    struct job *newest;
    unsigned jobs;           /* so many of them */
    bool paused;             /* nothing is read until the replies are gone or there are fewer jobs */
    bool last;               /* the connection ends with the last reply */
    bool closed;
};

/* What did not go out at once, in memory of its own until it has gone. */
struct rest {
    uv_write_t request;
    char data[];
};

/* So many jobs of one connection may be under way before no more is read from it. */
enum { JOBS = 1024 };

/* Only one connection is served at a time, so all share these. */
static char received[READ];
static struct bytes replies;

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer);
static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer);

static uv_stream_t *stream_of(struct connection *connection)
{
    return (uv_stream_t *)&connection->tcp;
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        fail("cannot serve a connection", "out of memory");
    return memory;
}

/* ---- the end of a connection ---- */

static void on_close(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    connection->closed = true;
    bytes_free(&connection->partial);
    /* Jobs can't be called back; the last of them frees the connection. */
    if (connection->jobs == 0)
        free(connection);
}

static void close_connection(struct connection *connection)
{
    uv_handle_t *handle = (uv_handle_t *)&connection->tcp;
    if (!uv_is_closing(handle))
        uv_close(handle, on_close);
}

/* ---- replies ---- */

/* Goes on reading, or closes, once nothing stands in the way. */
static void carry_on(struct connection *connection)
{
    if (uv_is_closing((uv_handle_t *)&connection->tcp) ||
        uv_stream_get_write_queue_size(stream_of(connection)) > 0)
        return;
    if (connection->last) {
        if (connection->jobs == 0)
            close_connection(connection);
    } else if (connection->paused && connection->jobs < JOBS) {
        connection->paused = false;
        uv_read_start(stream_of(connection), on_allocate, on_read);
    }
}

static void pause_reading(struct connection *connection)
{
    connection->paused = true;
    uv_read_stop(stream_of(connection));
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = request->handle->data;
    free(request->data);
    if (status < 0)
        close_connection(connection);
    else
        carry_on(connection);
}

static void send_replies(struct connection *connection)
{
    uv_buf_t buffer = uv_buf_init(replies.data, (unsigned)replies.len);
    if (buffer.len == 0)
        return;
    int sent = uv_try_write(stream_of(connection), &buffer, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0) {
        close_connection(connection);
    } else if ((size_t)sent < buffer.len) {
        size_t left = buffer.len - (size_t)sent;
        struct rest *rest = allocate(sizeof *rest + left);
        memcpy(rest->data, buffer.base + sent, left);
        rest->request.data = rest;
        buffer = uv_buf_init(rest->data, (unsigned)left);
        pause_reading(connection);
        if (uv_write(&rest->request, stream_of(connection), &buffer, 1, on_written) < 0) {
            free(rest);
            close_connection(connection);
        }
    }
}

/* ---- work ---- */

/* On a thread of the pool. */
static void run_job(uv_work_t *request)
{
    struct job *job = request->data;
    work_run(&job->work, &job->reply);
}

static void on_job_done(uv_work_t *request, int status)
{
    (void)status;
    struct job *job = request->data;
    struct connection *connection = job->connection;
    job->done = true;

    replies.len = 0;
    while ((job = connection->oldest) && job->done) {
        bytes_add(&replies, job->reply.data, job->reply.len);
        bytes_add(&replies, job->behind.data, job->behind.len);
        connection->oldest = job->next;
        connection->jobs--;
        bytes_free(&job->text);
        bytes_free(&job->reply);
        bytes_free(&job->behind);
        free(job);
    }
    if (connection->closed) {
        if (connection->jobs == 0)
            free(connection);
    } else if (!uv_is_closing((uv_handle_t *)&connection->tcp)) {
        send_replies(connection);
        carry_on(connection);
    }
}

static struct bytes *queue_job(void *context, const struct work *work, struct bytes *replies)
{
    (void)replies;
    struct connection *connection = context;
    struct job *job = allocate(sizeof *job);
    job->request.data = job;
    job->connection = connection;
    job->work = *work;
    /* The text lies in a buffer that the next read overwrites. */
    bytes_add(&job->text, work->text, work->len);
    job->work.text = job->text.data;
    if (connection->oldest)
        connection->newest->next = job;
    else
        connection->oldest = job;
    connection->newest = job;
    connection->jobs++;
    uv_queue_work(connection->tcp.loop, &job->request, run_job, on_job_done);
    return &job->behind;
}

/* ---- requests ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(received, sizeof received);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    if (len == 0)
        return;
    if (len < 0) {
        /* Who has only shut down the sending side still waits for the replies of jobs. */
        connection->last = true;
        uv_read_stop(stream);
        if (len == UV_EOF)
            carry_on(connection);
        else
            close_connection(connection);
        return;
    }

    replies.len = 0;
    struct bytes *end = connection->oldest ? &connection->newest->behind : &replies;
    struct answered answered;
    if (connection->partial.len == 0) {
        answered = answer(buffer->base, (size_t)len, end, queue_job, connection);
        bytes_add(&connection->partial, buffer->base + answered.consumed,
                  (size_t)len - answered.consumed);
    } else {
        bytes_add(&connection->partial, buffer->base, (size_t)len);
        answered = answer(connection->partial.data, connection->partial.len, end, queue_job,
                          connection);
        bytes_drop_front(&connection->partial, answered.consumed);
    }
    send_replies(connection);
    if (answered.quit) {
        connection->last = true;
        uv_read_stop(stream);
        carry_on(connection);
    } else if (connection->jobs >= JOBS) {
        pause_reading(connection);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    /* Out of descriptors, or a client that left: the others go on. */
    if (status < 0)
        return;
    struct connection *connection = allocate(sizeof *connection);
    connection->tcp.data = connection;
    uv_tcp_init(server->loop, &connection->tcp);
    if (uv_accept(server, stream_of(connection)) < 0 ||
        uv_read_start(stream_of(connection), on_allocate, on_read) < 0)
        close_connection(connection);
}

/* ---- set-up ---- */

static void on_signal(uv_signal_t *handle, int signal)
{
    (void)signal;
    uv_stop(handle->loop);
}

static void check(int result, const char *message)
{
    if (result < 0)
        fail(message, uv_strerror(result));
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv, true);
    raise_descriptor_limit();
    setenv("UV_THREADPOOL_SIZE", options.workers, 1);
    /* libuv writes with write(2), which has no MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);

    uv_loop_t *loop = uv_default_loop();
    uv_signal_t terminate, interrupt;
    uv_signal_init(loop, &terminate);
    uv_signal_init(loop, &interrupt);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);

    struct sockaddr_in address;
    uv_tcp_t server;
    uv_os_fd_t listener;
    uv_ip4_addr("127.0.0.1", options.port, &address);
    check(uv_tcp_init_ex(loop, &server, AF_INET), "cannot create a socket");
    /* Accepted sockets inherit it (tcp(7)). */
    check(uv_tcp_nodelay(&server, 1), "cannot set TCP_NODELAY");
    check(uv_tcp_bind(&server, (struct sockaddr *)&address, 0), "cannot listen on 127.0.0.1");
    check(uv_listen((uv_stream_t *)&server, BACKLOG, on_connection), "cannot listen on 127.0.0.1");
    check(uv_fileno((uv_handle_t *)&server, &listener), "cannot listen on 127.0.0.1");
    announce(listener);

    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
