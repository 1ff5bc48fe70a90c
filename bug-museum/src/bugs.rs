//! The mistakes: their names, and which one is switched on.

use clap::ValueEnum;
use serde::Serialize;
use std::sync::OnceLock;

/// What the loop waits with, and where tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mechanism {
    Select,
    Poll,
    Epoll,
    /// epoll, with a pool of workers for the tasks.
    Handoff,
}

impl Mechanism {
    /// What `stats` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Poll => "poll",
            Self::Epoll | Self::Handoff => "epoll",
        }
    }

    /// The rung of the lab that waits with it and whose cases are the judge. Day 2 waits with select
    /// too, but day 3 is the whole of it.
    pub(crate) fn rung(self) -> &'static str {
        match self {
            Self::Select => "day3",
            Self::Poll => "day4",
            Self::Epoll => "w04",
            Self::Handoff => "w05",
        }
    }
}

/// The mistakes. What is wrong with each is told by [`Bug::exhibit`], and shown at its mark in
/// `server.rs`, `pool.rs` or `worker.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bug {
    // The wait call: select,
    FdSetsNotRebuilt,
    MaxFdNotUpdated,
    MaxFdWithoutPlusOne,
    MaxFdLoweredByEachClose,
    WriteSetAlwaysArmed,
    FdSetsizeIgnored,
    ZeroTimeout,
    SleepInTheLoop,
    EintrIsFatal,
    UrgentDataSpins,
    // poll,
    PollEventsCompared,
    PollTimeoutInSeconds,
    // epoll.
    EpollEdgeNotDrained,
    EpollListenerEdgeAcceptsOne,
    EpollWriteInterestStays,
    EpollWriteInterestNeverAdded,
    EpollOneShotNotRearmed,
    EpollRegistrationLeftByDup,
    // Accepting.
    ListenerBlocks,
    ClientSocketBlocks,
    NotCloseOnExec,
    BacklogOfOne,
    NoReuseaddr,
    AcceptEmfileSpins,
    AcceptEmfileIsFatal,
    RefusalLeaksDescriptor,
    ReadyLineNotFlushed,
    // Reading.
    ReadEagainCloses,
    EndOfInputIgnored,
    HalfCloseCloses,
    EndOfInputEndsTheLine,
    ReadsUntilEagain,
    // The protocol.
    HeaderMustComeWhole,
    BodyMustComeWhole,
    OneRequestPerRead,
    BodyReadAsALine,
    BodyStopsAtNul,
    CrWithoutItsLfIsAnError,
    LineLimitOnlyAtItsEnd,
    VerbsCaseSensitive,
    BadRequestCloses,
    OversizedBodyBuffered,
    OversizedBodyParsed,
    TaskPanicEndsTheServer,
    // Writing and closing.
    WriteEagainCloses,
    SendTriesUntilDone,
    PartialWriteDropsTheRest,
    PartialWriteResendsAll,
    ErrorReplyJumpsTheQueue,
    SigpipeIsFatal,
    QuitDropsTheQueue,
    NoLinger,
    ResetLeaksDescriptor,
    ClosedButNotRemoved,
    BuffersSurviveTheirClient,
    LateCleanUpHitsNewcomer,
    ClosedConnectionsRemembered,
    ConnectionsNotCountedDown,
    // Clocks.
    TimeOutsOnlyOnActivity,
    TimerSurvivesItsClient,
    RequestClockRestartsWithEachByte,
    IdleClockIgnoresWriting,
    StallMeasuredBySend,
    StalledReaderNeverClosed,
    ClockStaleAfterTask,
    ClocksBeforeReading,
    // Backpressure.
    NoBackpressure,
    PauseOnlyStopsReading,
    PauseNeverEnds,
    PauseForgetsWhatWasRead,
    PauseDropsWhatWasRead,
    SlowReaderMeasuredBySend,
    SlowReaderNeverCut,
    SlowReaderCutThoughItMoves,
    // The end.
    SigtermExitsAtOnce,
    SigtermKeepsAccepting,
    SigtermWaitsForIdleClients,
    SecondSignalWaits,
    // The hand-off: who works,
    CpuWorkOnTheLoop,
    WorkersStartedPerRequest,
    PanicShrinksThePool,
    TaskErrorSwallowed,
    QueueLockedWhileWorking,
    WorkerSendsOnTheSocket,
    // how results come back,
    EventfdNeverRead,
    EventfdBlocks,
    EventfdNotCloseOnExec,
    ResultsPolledFor,
    WakeupLost,
    WakeupOnlyWhenListWasNotEmpty,
    OneResultPerWakeup,
    CompletionListUnprotected,
    ResultsOutOfOrder,
    ResultToTheFdsNewOwner,
    HalfCloseDropsTheResult,
    HangUpIgnoredWhileProcessing,
    BlockingSendOnTheLoop,
    // a full queue,
    UnboundedTaskQueue,
    BlockingPushOnTheLoop,
    HeldRequestsLost,
    WaitModeSheds,
    ShedModeWaits,
    HeldServedLastInFirstOut,
    HeldServedByDescriptor,
    TaskQueueIsAStack,
    KeepsReadingFromWaitingClients,
    // clocks, figures and the end.
    TaskClockIgnored,
    TimeOutToldByTheWorker,
    LateResultDelivered,
    IdleClockStrikesWhileProcessing,
    RunningTasksCountedAsQueued,
    FailuresNotCountedAsDone,
    DrainDropsQueuedTasks,
    DrainWaitsForABurningWorker,
    ShutdownWakesOnlyOneWorker,
}

static SWITCHED_ON: OnceLock<Bug> = OnceLock::new();

/// Makes the server make this mistake, for the rest of its life.
pub(crate) fn switch_on(bug: Bug) {
    SWITCHED_ON.get_or_init(|| bug);
}

/// Whether the server is to make this mistake.
pub(crate) fn bug(bug: Bug) -> bool {
    SWITCHED_ON.get() == Some(&bug)
}

impl Bug {
    /// Its name on the command line, and at its mark in the source.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// All of them, in the order in which they are listed.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }
}
