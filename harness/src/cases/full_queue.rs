//! More tasks than the queue has room for: `--when-full wait` and `shed` (week 5).

mod shed;
mod wait;

use crate::case::{Case, Need, Rung};

const OPTIONS: &str = "notes/protocol.md section 2, the command line";
const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const FAIRNESS: &str = "notes/protocol.md section 1, fairness";
const DAY3: &str = "notes/protocol.md section 5, day3-backpressure";
const W05: &str = super::tasks::W05;

const RESTART_FLAGS: &[Need] = &[Need::Restart, Need::Flags];
const RESTART_FLAGS_PID: &[Need] = &[Need::Restart, Need::Flags, Need::Pid];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("FQ01", "full_queue/two_hundred_are_all_answered", Rung::W05, wait::two_hundred)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("with room for 4 tasks and one worker, 200 clients at once all get their own results", W05)
        .hint(
            "when try_push says full, keep the task with its connection, in a line, and push it as \
             room appears: each result means that a worker takes the next one",
        ),
    Case::new("FQ02", "full_queue/the_others_go_on", Rung::W05, wait::others_go_on)
        .needs(RESTART_FLAGS)
        .timeout_s(30)
        .rule("while the queue is full it holds --queue-depth tasks, and whoever asks for no task is served", OPTIONS)
        .hint(
            "the loop must never wait for room: no push that blocks. Nor may it make the queue \
             longer: what does not fit waits with its connection",
        ),
    Case::new("FQ03", "full_queue/nothing_more_is_read_from_who_waits", Rung::W05, wait::nothing_more_is_read)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(30)
        .rule("a client whose task has to wait for room is not read from, and the loop sleeps meanwhile", OPTIONS)
        .hint(
            "take EPOLLIN off the connection while its task is held, and put it back once the task \
             is in the queue or done: its input is the kernel's to keep",
        ),
    Case::new("FQ04", "full_queue/first_come_first_served", Rung::W05, wait::in_order)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("tasks that wait for room go on in the order in which they came, newcomers behind them", FAIRNESS)
        .hint(
            "one line for all that wait, first in, first out; while anybody stands in it, a newcomer \
             goes to its end, even if the queue happens to have room just then",
        ),
    Case::new("FQ05", "full_queue/who_pipelines_starves_nobody", Rung::W05, wait::no_starving)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("a client that pipelines many tasks lets another one's task in between", FAIRNESS)
        .hint(
            "don't let one connection fill the queue: one task of a connection at a time, and its \
             next one goes to the end of the line",
        ),
    Case::new("FQ06", "full_queue/shed_says_busy_at_once", Rung::W05, shed::busy_at_once)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("with --when-full shed a task beyond the queue is answered `SERVER_ERROR busy` at once", OPTIONS)
        .hint(
            "on a full queue answer on the spot, count it in tasks_shed, and go on with the same \
             connection; what is in the queue already stays there",
        ),
    Case::new("FQ07", "full_queue/shed_answers_two_hundred", Rung::W05, shed::two_hundred)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("with shed each of 200 clients gets its result or `busy`, and the figures add up", OPTIONS)
        .hint("each request gets one answer: tasks_done and tasks_shed together are all of them"),
    Case::new("FQ08", "full_queue/who_leaves_is_forgotten", Rung::W05, wait::leavers)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("clients that reset while they wait for room are removed at once; the rest are answered", LIFE)
        .hint(
            "a connection that is not read from still reports EPOLLERR and EPOLLHUP: close it, and \
             take its task out of the line",
        ),
    Case::new("FQ09", "full_queue/a_half_close_is_still_answered", Rung::W05, wait::half_close)
        .needs(RESTART_FLAGS_PID)
        .timeout_s(120)
        .rule("a client that half-closes while it waits for room gets its result", LIFE)
        .hint(
            "the end of the input takes nothing back: answer, then close. While the task is held, \
             don't ask for EPOLLRDHUP: it would be reported at once and for ever",
        ),
    Case::new("FQ10", "full_queue/waiting_is_not_idle", Rung::W05, wait::not_idle)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("whoever waits for a worker, or for room, is neither idle nor slow", LIFE)
        .hint("stop the idle and the request clock while a connection's task is held or out"),
    Case::new("FQ11", "full_queue/replies_of_tasks_stay_bounded", Rung::W05, wait::bounded_replies)
        .needs(RESTART_FLAGS)
        .timeout_s(120)
        .rule("results count in the write queue: a client that never reads has at most high-water and one reply", DAY3)
        .hint(
            "before a task is submitted there must be room for its reply: from high-water on take \
             no request of this connection",
        ),
];
