/* libevent: one event_base, an event per connection, recv and send by hand.
 *
 * This is how memcached uses libevent. A bufferevent is more comfortable and costs more: an ioctl
 * before each read, at most 4 KiB per read, and every reply waits for a turn of the loop in which
 * the socket is watched for writing. libevent has no pool, so work for a CPU is done in the loop. */

#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct connection {
    struct event event;
    struct bytes partial; /* the beginning of a request whose rest has not come */
    struct bytes unsent;  /* replies that the socket had no room for; nothing is read until they are gone */
    bool last;            /* the connection ends with the last reply */
};

/* Only one connection is served at a time, so all share these. */
static char received[READ];
static struct bytes replies;

static void on_event(evutil_socket_t fd, short events, void *context);

static void close_connection(struct connection *connection)
{
    event_del(&connection->event);
    evutil_closesocket(event_get_fd(&connection->event));
    bytes_free(&connection->partial);
    bytes_free(&connection->unsent);
    free(connection);
}

static void watch(struct connection *connection, struct event_base *base, evutil_socket_t fd,
                  short events)
{
    if (event_assign(&connection->event, base, fd, events | EV_PERSIST, on_event, connection) != 0 ||
        event_add(&connection->event, NULL) != 0)
        fail("cannot watch a connection", strerror(errno));
}

static void watch_instead(struct connection *connection, short events)
{
    struct event_base *base = event_get_base(&connection->event);
    evutil_socket_t fd = event_get_fd(&connection->event);
    event_del(&connection->event);
    watch(connection, base, fd, events);
}

static struct bytes *compute_here(void *context, const struct work *work, struct bytes *replies)
{
    (void)context;
    work_run(work, replies);
    return replies;
}

static bool must_wait(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static void serve(evutil_socket_t fd, struct connection *connection)
{
    ssize_t len = recv(fd, received, sizeof received, 0);
    if (must_wait(len))
        return;
    if (len <= 0) {
        close_connection(connection);
        return;
    }

    replies.len = 0;
    struct answered answered;
    if (connection->partial.len == 0) {
        answered = answer(received, (size_t)len, &replies, compute_here, NULL);
        bytes_add(&connection->partial, received + answered.consumed,
                  (size_t)len - answered.consumed);
    } else {
        bytes_add(&connection->partial, received, (size_t)len);
        answered = answer(connection->partial.data, connection->partial.len, &replies,
                          compute_here, NULL);
        bytes_drop_front(&connection->partial, answered.consumed);
    }
    connection->last = answered.quit;

    ssize_t sent = 0;
    if (replies.len > 0) {
        sent = send(fd, replies.data, replies.len, MSG_NOSIGNAL);
        if (must_wait(sent))
            sent = 0;
    }
    if (sent >= 0 && (size_t)sent < replies.len) {
        bytes_add(&connection->unsent, replies.data + sent, replies.len - (size_t)sent);
        watch_instead(connection, EV_WRITE);
    } else if (sent < 0 || connection->last) {
        close_connection(connection);
    }
}

static void send_rest(evutil_socket_t fd, struct connection *connection)
{
    ssize_t sent = send(fd, connection->unsent.data, connection->unsent.len, MSG_NOSIGNAL);
    if (must_wait(sent))
        return;
    if (sent > 0)
        bytes_drop_front(&connection->unsent, (size_t)sent);
    bool sent_all = connection->unsent.len == 0;
    if (sent < 0 || (sent_all && connection->last))
        close_connection(connection);
    else if (sent_all)
        watch_instead(connection, EV_READ);
}

static void on_event(evutil_socket_t fd, short events, void *context)
{
    if (events & EV_WRITE)
        send_rest(fd, context);
    else
        serve(fd, context);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int len, void *context)
{
    (void)address, (void)len, (void)context;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        fail("cannot accept a connection", "out of memory");
    watch(connection, evconnlistener_get_base(listener), fd, EV_READ);
}

/* Out of descriptors, or a client that left: the others go on. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)listener, (void)context;
}

static void on_signal(evutil_socket_t signal, short events, void *context)
{
    (void)signal, (void)events;
    event_base_loopbreak(context);
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv, false);
    raise_descriptor_limit();

    /* One thread needs no locks; changes of what is watched are handed over once per turn. */
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    if (!base)
        fail("cannot start libevent", strerror(errno));

    struct event *terminate = evsignal_new(base, SIGTERM, on_signal, base);
    struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);
    event_add(terminate, NULL);
    event_add(interrupt, NULL);

    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        BACKLOG, (struct sockaddr *)&address, sizeof address);
    if (!listener)
        fail("cannot listen on 127.0.0.1", strerror(errno));
    evconnlistener_set_error_cb(listener, on_accept_error);
    /* Accepted sockets inherit it (tcp(7)). */
    int on = 1;
    setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    announce(evconnlistener_get_fd(listener));

    event_base_dispatch(base);
    return 0;
}
