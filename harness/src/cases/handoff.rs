//! CPU work on worker threads, everything else on the loop: who answers, when, and whom (week 5).

mod answers;
mod boundary;
mod leaving;

use super::tasks::W05;
use super::watch::OUTSIDE;
use crate::case::{Case, Need, Rung};

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FINE_PRINT: &str = "notes/protocol.md section 1, the fine print";
const REQUESTS: &str = "notes/protocol.md section 1, requests and replies";

const PID: &[Need] = &[Need::Pid];
const RESTART: &[Need] = &[Need::Restart];
const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];
const RESTART_PID: &[Need] = &[Need::Restart, Need::Pid];
const RESTART_FLAGS_PID: &[Need] = &[Need::Restart, Need::Flags, Need::Pid];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("HO01", "handoff/ten_at_once", Rung::W05, answers::ten_at_once)
        .timeout_s(30)
        .rule("ten clients that ask for `compute` at once and half-close get their results", W05)
        .hint(
            "push each task to the queue and go back to the wait call. A worker puts the result into \
             the completion list, under its lock, and wakes the loop by the eventfd; the loop reads \
             that, takes the whole list, and sends",
        ),
    Case::new("HO02", "handoff/thirty_clients_each_its_own_answer", Rung::W05, answers::thirty)
        .needs(RESTART)
        .timeout_s(120)
        .rule(
            "of 30 clients at once 20 get their own result and 10 their own error, in each round",
            W05,
        )
        .hint(
            "an error is a result like any other: carry its message back in the completion, with \
             the id of the connection that asked. Nothing may stay in the list when you take it",
        ),
    Case::new(
        "HO03",
        "handoff/echo_is_answered_while_all_workers_burn",
        Rung::W05,
        boundary::others_are_answered,
    )
    .needs(PID)
    .timeout_s(30)
    .fails_before("until week 5 a task runs on the loop, and all the others wait for it")
    .rule("while every worker computes, the other clients are answered", W05)
        .hint(
            "the loop must neither run a task nor wait for one: try_push it, go back to the wait \
             call, and let the eventfd tell when there are results",
        ),
    Case::new("HO04", "handoff/the_loop_works_on_no_task", Rung::W05, boundary::no_task_on_the_loop)
        .needs(PID)
        .timeout_s(120)
        .rule("`burn` costs the loop's thread no CPU time", REQUESTS)
        .hint(
            "only a worker may run a task, also when all of them are busy or the queue is full: \
             what the loop computes delays everybody",
        ),
    Case::new("HO05", "handoff/workers_wait_on_no_socket", Rung::W05, boundary::no_socket)
        .needs(PID)
        .timeout_s(120)
        .rule("no worker ever sleeps in recv, send, accept or a wait call: the loop does all IO", W05)
        .hint(
            "a worker takes a task and gives back a result; it knows no descriptor but the eventfd. \
             Two threads that send on one socket mix their bytes",
        ),
    Case::new("HO06", "handoff/a_result_goes_behind_queued_replies", Rung::W05, answers::behind_a_queue)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("a result goes behind the replies that are still queued for its client", FINE_PRINT)
        .hint(
            "a worker must not call send: hand the result to the loop, which appends it to the \
             connection's write queue, and waits for no socket: what send does not take stays there",
        ),
    Case::new("HO07", "handoff/pipelined_requests_keep_their_order", Rung::W05, answers::in_order)
        .timeout_s(120)
        .rule("replies come in the order of the requests, whether a worker or the loop made them", FINE_PRINT)
        .hint(
            "take no further request of a connection while its task is out; or number the requests, \
             and hold a finished reply back until those before it are done",
        ),
    Case::new("HO08", "handoff/the_wakeup_is_an_eventfd", Rung::W05, boundary::eventfd)
        .needs(PID)
        .rule("an eventfd, close-on-exec and O_NONBLOCK, is watched for input by the epoll set", OUTSIDE)
        .hint(
            "eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), and EPOLL_CTL_ADD with EPOLLIN once, at the \
             start: a worker writes to it and so wakes epoll_wait",
        ),
    Case::new("HO09", "handoff/the_wakeup_is_cleared", Rung::W05, boundary::cleared)
        .needs(RESTART_PID)
        .timeout_s(120)
        .rule("after the last result the eventfd is 0 again and the server at rest", OUTSIDE)
        .hint(
            "read(2) the 8 bytes of the eventfd whenever it is reported, before you take the list: \
             a counter that is not 0 keeps it readable, and epoll_wait returns at once, for ever",
        ),
    Case::new("HO10", "handoff/a_reset_is_noticed_while_a_task_runs", Rung::W05, leaving::noticed_at_once)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(30)
        .rule("a client that resets while its task runs is removed at once, and its descriptor closed", LIFE)
        .hint(
            "leave the socket in the wait set while its task is out (epoll always reports EPOLLERR \
             and EPOLLHUP), and close it then; the task may run on, its result is dropped",
        ),
    Case::new("HO11", "handoff/a_late_result_is_nobody_elses", Rung::W05, leaving::nobody_elses)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("the result of a client that left goes nowhere, whoever has its descriptor by now", W05)
        .hint(
            "the kernel gives a closed descriptor's number to the next client: address a result by \
             an id of the connection, or of the task, that is never used again",
        ),
    Case::new("HO12", "handoff/a_half_close_gets_the_result", Rung::W05, leaving::half_close)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("a client that half-closes while its task runs gets the result, and the loop sleeps until then", LIFE)
        .hint(
            "recv returning 0 ends the input and not the connection: note it, drop read interest \
             (EPOLLRDHUP too, or it is reported for ever), answer, then close",
        ),
    Case::new("HO13", "handoff/input_behind_a_task_is_bounded", Rung::W05, leaving::bounded_input)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("while a client's task is out, a bounded amount of its further input is read, and none is lost", W05)
        .hint(
            "stop reading from a connection whose read buffer is full and whose next request has \
             to wait; the kernel then holds the sender back",
        ),
    Case::new("HO14", "handoff/results_that_come_together", Rung::W05, answers::together)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("results that are ready at the same time all reach their clients", W05)
        .hint(
            "one wake-up may stand for many results (eventfd counts, and writes are saved while \
             the list is not empty): read the eventfd first, then swap out the whole list, not one \
             result for each wake-up",
        ),
];
