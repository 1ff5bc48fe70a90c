//! What one thread can see of the task queue, and many threads at once.

use crate::support::not_for_ever;
use std::sync::Arc;
use std::thread;
use w05_handoff::task_queue::{Closed, QueueFigures, TaskQueue, TryPushError};

#[test]
fn items_leave_in_the_order_in_which_they_came() {
    let queue = TaskQueue::new(3);
    // More than once around the ring.
    for round in 0..5 {
        for item in 0..3 {
            queue.try_push((round, item)).unwrap();
        }
        for item in 0..3 {
            assert_eq!(queue.pop(), Some((round, item)));
        }
    }
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let queue = TaskQueue::new(2);
    assert_eq!(queue.try_push("a"), Ok(()));
    assert_eq!(queue.push("b"), Ok(()));
    assert_eq!(queue.try_push("c"), Err(TryPushError::Full("c")));
    assert_eq!(queue.pop(), Some("a"));
    assert_eq!(queue.try_push("c"), Ok(()));
    assert_eq!(queue.capacity(), 2);
    assert_eq!(queue.figures(), QueueFigures { len: 2, peak: 2 });
    queue.pop();
    queue.pop();
    queue.try_push("d").unwrap();
    assert_eq!(queue.figures(), QueueFigures { len: 1, peak: 2 });
}

#[test]
fn a_closed_queue_accepts_nothing_and_keeps_what_it_has() {
    let queue = TaskQueue::new(2);
    queue.push("a").unwrap();
    queue.push("b").unwrap();
    queue.close();
    queue.close();
    // Full as well; but that it is closed is what its producer should know.
    assert_eq!(queue.try_push("c"), Err(TryPushError::Closed("c")));
    assert_eq!(queue.push("c"), Err(Closed("c")));
    assert_eq!(queue.pop(), Some("a"));
    assert_eq!(queue.pop(), Some("b"));
    assert_eq!(queue.pop(), None);
    assert_eq!(queue.pop(), None);
}

#[test]
#[should_panic(expected = "at least one item")]
fn a_queue_without_room_is_refused() {
    let _ = TaskQueue::<()>::new(0);
}

#[test]
fn closing_wakes_who_waits() {
    not_for_ever(|| {
        let queue = Arc::new(TaskQueue::<u32>::new(2));
        let consumers = [(), ()].map(|()| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.pop())
        });
        queue.close();
        assert_eq!(consumers.map(|consumer| consumer.join().unwrap()), [None, None]);
    });
}

#[test]
fn that_somebody_was_refused_is_told_once() {
    let queue = TaskQueue::new(1);
    queue.try_push("a").unwrap();
    assert!(!queue.take_refused());
    queue.try_push("b").unwrap_err();
    queue.try_push("c").unwrap_err();
    assert!(queue.take_refused());
    assert!(!queue.take_refused());
}

#[test]
fn many_producers_and_consumers_lose_and_double_nothing() {
    const PRODUCERS: u32 = 4;
    const ITEMS: u32 = 5000;
    not_for_ever(|| {
        let queue = TaskQueue::new(3);
        let popped = thread::scope(|scope| {
            let consumers: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| std::iter::from_fn(|| queue.pop()).collect::<Vec<u32>>()))
                .collect();
            let queue = &queue;
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|number| {
                    let items = number * ITEMS..(number + 1) * ITEMS;
                    scope.spawn(move || items.for_each(|item| queue.push(item).unwrap()))
                })
                .collect();
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            queue.close();
            consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect::<Vec<_>>()
        });
        for items in &popped {
            for number in 0..PRODUCERS {
                let of_one = items.iter().filter(|item| *item / ITEMS == number);
                assert!(of_one.is_sorted(), "producer {number}");
            }
        }
        let mut all = popped.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..PRODUCERS * ITEMS));
        assert!(queue.figures().peak <= 3);
    });
}
