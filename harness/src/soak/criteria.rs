//! The verdict: what must hold, judged from the record alone.

use super::record::{Criterion, Errors, Induced, Record, Verdict};
use super::report::{after, mib};

/// How much more resident memory a server may have at the end (notes/protocol.md section 3), in
/// bytes.
const MORE_MEMORY: u64 = 8 << 20;
/// Descriptors that a server may open with its first clients and keep: some runtimes do.
const KEPT: u64 = 3;
/// A loop that spins takes more than this, in percent of a core, and so many times what it took
/// before.
const SPINS_FROM: f64 = 25.0;
const SPINS_TIMES: f64 = 3.0;

/// Judges a run.
pub(super) fn judge(record: &Record) -> Vec<Criterion> {
    let mut all = vec![lives(record), right_bytes(record), no_reply_lost(record)];
    all.extend([let_in(record), hostile(record)]);
    all.extend(record.induced.iter().map(|induced| recovers(induced, record.patience_s)));
    if let Some(induced) = record.induced.iter().find(|induced| induced.storm.is_some()) {
        all.extend([serves_on(induced), does_not_spin(induced), storm_was_heard(induced)]);
    }
    all.extend([descriptors(record), memory(record), stops(record)]);
    all
}

fn criterion(name: &str, verdict: Verdict, evidence: String, hint: &str) -> Criterion {
    Criterion { name: name.to_owned(), verdict, evidence, hint: hint.to_owned() }
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Pass } else { Verdict::Fail }
}

fn lives(record: &Record) -> Criterion {
    let evidence = match &record.crash {
        None => format!("it ran for all of {:.0} s", record.duration_s),
        Some(how) => format!("it {how} after {:.0} s", record.duration_s),
    };
    criterion(
        "the server lives to the end",
        verdict(record.crash.is_none()),
        evidence,
        "read the last lines of its log among the problems; an error of one client, or of accept, \
         must not end the loop",
    )
}

fn right_bytes(record: &Record) -> Criterion {
    let Errors { wrong, .. } = record.honest;
    criterion(
        "every reply to an honest client is right, byte for byte",
        verdict(wrong == 0 && record.replies() > 0),
        format!("{wrong} wrong among {} replies", record.replies()),
        "the first differences stand among the problems; replies go out in the order of the requests, \
         each from its own connection's buffer",
    )
}

fn no_reply_lost(record: &Record) -> Criterion {
    let Errors { lost, .. } = record.honest;
    criterion(
        "no honest client loses a reply or its connection",
        verdict(lost == 0),
        format!("{lost} lost; {} visits of churning clients ended as they had to", record.visits),
        "what arrived whole must be answered: look for a short write that was taken for a whole one, \
         and for a connection that is closed with bytes still queued",
    )
}

fn let_in(record: &Record) -> Criterion {
    let Errors { refused, turned_away, .. } = record.honest;
    criterion(
        "newcomers are let in whenever there is room",
        verdict(refused == 0),
        format!("{refused} refused; {turned_away} more turned away while there was no room"),
        "once descriptors are free the listener must be watched again, within 2 s",
    )
}

fn hostile(record: &Record) -> Criterion {
    let Errors { wrong, lost, refused, .. } = record.hostile;
    let deeds: u64 = record.deeds.values().sum();
    criterion(
        "hostile clients get what the contract says",
        verdict(wrong + lost + refused == 0),
        format!(
            "{deeds} misdeeds of {} kinds; {wrong} answered wrongly, {} not answered or not ended",
            record.deeds.len(),
            lost + refused
        ),
        "notes/protocol.md section 1, \"Errors\", says what each gets",
    )
}

fn recovers(induced: &Induced, limit: f64) -> Criterion {
    let within = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds <= limit);
    let holds = induced.errors == 0 && within(induced.newcomer_s) && within(induced.errors_gone_s);
    criterion(
        &format!("it recovers from {}", induced.name),
        verdict(holds),
        format!(
            "{} errors of those who were served before, {} newcomers turned away; afterwards a \
             newcomer was served after {}, the last error came after {}, p99 was back after {}",
            induced.errors,
            induced.turned_away,
            after(induced.newcomer_s),
            after(induced.errors_gone_s),
            after(induced.latency_back_s)
        ),
        "accept that fails with EMFILE is the newcomer's problem: the others are served on, and the \
         listener is tried again; a server that was stopped finds everything in its sockets",
    )
}

fn serves_on(induced: &Induced) -> Criterion {
    criterion(
        "those who were there before are answered during the storm",
        verdict(induced.answered_meanwhile > 0),
        format!(
            "{} replies meanwhile; the longest took {:.0} ms",
            induced.answered_meanwhile,
            induced.standing.max_us as f64 / 1e3
        ),
        "after accept has failed with EMFILE go on with the turn: don't sleep, don't try in a loop",
    )
}

fn does_not_spin(induced: &Induced) -> Criterion {
    let name = "out of descriptors it does not spin";
    let Some((before, meanwhile)) = induced.before_cpu_percent.zip(induced.server_cpu_percent)
    else {
        return criterion(name, Verdict::Skip, "needs the process id (`--pid`)".to_owned(), "");
    };
    criterion(
        name,
        verdict(meanwhile <= SPINS_FROM.max(before * SPINS_TIMES)),
        format!("{meanwhile:.0} % of a core during the storm, {before:.0} % before"),
        "the listener stays readable while newcomers wait: stop watching it for a moment after \
         EMFILE, or keep a spare descriptor to accept and close with",
    )
}

fn storm_was_heard(induced: &Induced) -> Criterion {
    let storm = induced.storm.unwrap_or_default();
    criterion(
        "nobody in the storm gets wrong bytes, or loses the place it had",
        verdict(storm.wrong + storm.dropped == 0),
        format!(
            "{} connections: {} answered, {} turned away, {} dropped after an answer, {} got wrong \
             bytes; the server had at most {} descriptors open",
            storm.tried,
            storm.answered,
            storm.turned_away,
            storm.dropped,
            storm.wrong,
            induced.most_descriptors.map_or_else(|| "?".to_owned(), |most| most.to_string())
        ),
        "a newcomer is answered, waits, is closed, or is told `SERVER_ERROR too many connections`",
    )
}

fn descriptors(record: &Record) -> Criterion {
    let name = "every descriptor is given back";
    let hint = "each connection must be closed on every way out: end of file, reset, error, time-out; \
                `ls -l /proc/PID/fd` shows what is left";
    let rest = record.rest.as_ref();
    match rest.map(|rest| (rest.descriptors_before, rest.descriptors_after)) {
        Some((Some(before), Some(after))) => criterion(
            name,
            verdict(after <= before + KEPT),
            format!("{before} before the first client, {after} after the last one"),
            hint,
        ),
        _ => unseen(name, record),
    }
}

fn memory(record: &Record) -> Criterion {
    let name = "memory is bounded";
    let hint = "resident memory may end at most 8 MiB above what it was when the server was warm: \
                look for a list that grows with each connection or request";
    let rest = record.rest.as_ref();
    match rest.map(|rest| (rest.resident_warm, rest.resident_after, rest.slope_per_hour)) {
        Some((Some(warm), Some(after), slope)) => {
            let slope = slope.map_or_else(String::new, |slope| {
                format!("; slope {:+.2} MiB an hour under load", slope / f64::from(1 << 20))
            });
            criterion(
                name,
                verdict(after <= warm + MORE_MEMORY),
                format!("{} when warm, {} at rest{slope}", mib(warm), mib(after)),
                hint,
            )
        }
        _ => unseen(name, record),
    }
}

fn unseen(name: &str, record: &Record) -> Criterion {
    match &record.crash {
        Some(_) => criterion(name, Verdict::Skip, "the server had ended".to_owned(), ""),
        None => criterion(name, Verdict::Skip, "needs the process id (`--pid`)".to_owned(), ""),
    }
}

fn stops(record: &Record) -> Criterion {
    let name = "SIGTERM: all that was under way is answered, exit status 0";
    let Some(stopping) = &record.stopping else {
        let evidence = match record.crash {
            Some(_) => "the server had ended".to_owned(),
            None => "needs a server that the harness starts (not `--addr`)".to_owned(),
        };
        return criterion(name, Verdict::Skip, evidence, "");
    };
    let all = stopping.answered == stopping.requests && stopping.errors == 0;
    criterion(
        name,
        verdict(all && stopping.clean),
        format!(
            "{} of {} requests answered; it {} {:.2} s after the signal",
            stopping.answered, stopping.requests, stopping.status, stopping.seconds
        ),
        "on SIGTERM: close the listener, read each connection once more, answer what is whole, flush, \
         exit 0",
    )
}

#[cfg(test)]
mod tests {
    use super::super::clients::Class;
    use super::super::record::{Latency, Rest, Stopping, StormCount};
    use super::*;
    use std::collections::BTreeMap;

    fn good() -> Record {
        let latency = Latency { replies: 10, ..Latency::default() };
        Record {
            patience_s: 10.0,
            totals: BTreeMap::from([(Class::Steady, latency)]),
            induced: vec![Induced {
                newcomer_s: Some(0.1),
                errors_gone_s: Some(0.0),
                answered_meanwhile: 1,
                before_cpu_percent: Some(20.0),
                server_cpu_percent: Some(60.0),
                storm: Some(StormCount::default()),
                ..Induced::default()
            }],
            rest: Some(Rest {
                descriptors_before: Some(6),
                descriptors_after: Some(6 + KEPT),
                resident_warm: Some(1 << 20),
                resident_after: Some(9 << 20),
                slope_per_hour: None,
            }),
            stopping: Some(Stopping {
                requests: 3,
                answered: 3,
                clean: true,
                ..Stopping::default()
            }),
            ..Record::default()
        }
    }

    fn failed(change: impl FnOnce(&mut Record)) -> Vec<String> {
        let mut record = good();
        change(&mut record);
        let failed = judge(&record).into_iter().filter(|c| c.verdict == Verdict::Fail);
        failed.map(|criterion| criterion.name).collect()
    }

    #[test]
    fn a_good_record_fails_nothing() {
        assert_eq!(failed(|_| ()), [""; 0]);
    }

    /// Each thing that can go wrong, and the beginning of the one criterion that fails for it.
    #[test]
    fn each_fault_fails_its_own_criterion() {
        type Change = fn(&mut Record);
        let changes: [(Change, &str); 17] = [
            (|r| r.induced[0].answered_meanwhile = 0, "those who were there"),
            (|r| r.induced[0].server_cpu_percent = Some(60.1), "out of descriptors"),
            (|r| r.crash = Some("exited".into()), "the server lives"),
            (|r| r.honest.wrong = 1, "every reply"),
            (|r| r.totals.clear(), "every reply"),
            (|r| r.honest.lost = 1, "no honest client"),
            (|r| r.honest.refused = 1, "newcomers"),
            (|r| r.hostile.lost = 1, "hostile"),
            (|r| r.induced[0].errors = 1, "it recovers"),
            (|r| r.induced[0].newcomer_s = None, "it recovers"),
            (|r| r.induced[0].errors_gone_s = Some(11.0), "it recovers"),
            (
                |r| r.induced[0].storm = Some(StormCount { dropped: 1, ..StormCount::default() }),
                "nobody",
            ),
            (|r| r.rest.as_mut().unwrap().descriptors_after = Some(7 + KEPT), "every descriptor"),
            (|r| r.rest.as_mut().unwrap().resident_after = Some((9 << 20) + 1), "memory"),
            (|r| r.stopping.as_mut().unwrap().answered = 2, "SIGTERM"),
            (|r| r.stopping.as_mut().unwrap().errors = 1, "SIGTERM"),
            (|r| r.stopping.as_mut().unwrap().clean = false, "SIGTERM"),
        ];
        for (change, name) in changes {
            let failed = failed(change);
            assert!(failed.len() == 1 && failed[0].starts_with(name), "{name}: {failed:?}");
        }
    }

    #[test]
    fn being_turned_away_while_there_is_no_room_is_no_failure() {
        let none = failed(|record| {
            record.honest.turned_away = 9;
            record.induced[0].turned_away = 9;
            record.hostile.turned_away = 2;
        });
        assert_eq!(none, [""; 0]);
    }
}
