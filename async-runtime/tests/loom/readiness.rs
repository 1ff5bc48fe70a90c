//! A side of a socket: a system call and an event that cross.

use crate::explore::every_interleaving;
use crate::side::Side;
use crate::sync::Mutex;
use crate::task;
use loom::thread;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

/// The peer sends so many bytes, one by one, with an event each.
fn sent_and_received(bytes: u32, ready_at_first: bool) {
    let side = Arc::new(Side::new(ready_at_first));
    let kernel = Arc::new(Mutex::new(0));
    let peer = {
        let (side, kernel) = (Arc::clone(&side), Arc::clone(&kernel));
        thread::spawn(move || {
            for _ in 0..bytes {
                *kernel.lock() += 1;
                if let Some(waker) = side.set_ready(false) {
                    waker.wake();
                }
            }
        })
    };
    let mut received = 0;
    while received < bytes {
        received += task::run(|cx| {
            loop {
                let seen = match side.poll_ready(cx) {
                    Poll::Ready(seen) => seen.unwrap(),
                    Poll::Pending => return Poll::Pending,
                };
                // Not in the match itself: the kernel would be locked until its end, and no event could cross.
                let taken = mem::take(&mut *kernel.lock());
                match taken {
                    0 => side.would_block(seen),
                    received => {
                        // Fewer than the buffer would hold.
                        side.came_short(seen);
                        return Poll::Ready(received);
                    }
                }
            }
        });
    }
    assert_eq!(received, bytes);
    peer.join().unwrap();
}

#[test]
fn no_event_is_lost_to_a_call_that_found_nothing() {
    for ready_at_first in [false, true] {
        for bytes in [1, 2] {
            let name = format!("{bytes} bytes to a side, ready at first: {ready_at_first}");
            every_interleaving(&name, move || sent_and_received(bytes, ready_at_first));
        }
    }
}

#[test]
fn whoever_waits_is_told_that_it_is_in_vain() {
    every_interleaving("a side that fails", || {
        let side = Arc::new(Side::new(false));
        let worker = {
            let side = Arc::clone(&side);
            thread::spawn(move || {
                if let Some(waker) = side.fail(rustix::io::Errno::SHUTDOWN) {
                    waker.wake();
                }
            })
        };
        assert!(task::run(|cx| side.poll_ready(cx)).is_err());
        worker.join().unwrap();
    });
}
