//! The mailbox: every message once, and no sleep while one waits.

use crate::doorbell::{Doorbell, Sleep};
use crate::explore::{every_interleaving, with_preemptions};
use crate::mailbox::Mailbox;
use loom::thread;
use std::sync::Arc;

/// The worker sleeps and takes until it has all messages.
fn all_messages_arrive(senders: &'static [&'static [u32]]) {
    let sleep = Sleep::new();
    let mailbox = Arc::new(Mailbox::new(Doorbell(Arc::clone(&sleep))));
    let expected: usize = senders.iter().map(|sent| sent.len()).sum();
    let threads: Vec<_> = senders
        .iter()
        .map(|sent| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || sent.iter().for_each(|message| mailbox.push(*message).unwrap()))
        })
        .collect();
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < expected {
        mailbox.take_all(&mut batch);
        taken.append(&mut batch);
        if taken.len() < expected && mailbox.fall_asleep() {
            sleep.wait(true);
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    for sent in senders {
        let of_this_one: Vec<u32> =
            taken.iter().copied().filter(|message| sent.contains(message)).collect();
        assert_eq!(of_this_one, *sent, "all of {taken:?}");
    }
    assert_eq!(taken.len(), expected);
}

#[test]
fn messages_wake_a_worker_that_falls_asleep() {
    every_interleaving("1 sender, 1 message", || all_messages_arrive(&[&[1]]));
    every_interleaving("1 sender, 3 messages", || all_messages_arrive(&[&[1, 2, 3]]));
    every_interleaving("2 senders, 1 message each", || all_messages_arrive(&[&[1], &[11]]));
    with_preemptions("2 senders, 2 messages each", 3, || {
        all_messages_arrive(&[&[1, 2], &[11, 12]])
    });
    with_preemptions("3 senders", 2, || all_messages_arrive(&[&[1], &[11], &[21]]));
}

#[test]
fn a_message_to_a_worker_that_ends_is_either_left_or_given_back() {
    every_interleaving("1 sender, close", || {
        let mailbox = Arc::new(Mailbox::new(Doorbell(Sleep::new())));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.push(1))
        };
        let left = mailbox.close();
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(left, [1]),
            Err(message) => assert_eq!((message, left.len()), (1, 0)),
        }
    });
}
