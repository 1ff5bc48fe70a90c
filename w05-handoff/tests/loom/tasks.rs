//! The task queue: nothing lost, nothing doubled, in order, and nobody sleeps for ever.

use crate::explore::{every_interleaving, with_preemptions};
use crate::sync::thread;
use crate::task_queue::{Closed, TaskQueue, TryPushError};
use std::sync::Arc;

fn queue(capacity: usize) -> Arc<TaskQueue<u32>> {
    Arc::new(TaskQueue::new(capacity))
}

/// A thread that pops until there is nothing any more.
fn consumer(queue: &Arc<TaskQueue<u32>>) -> thread::JoinHandle<Vec<u32>> {
    let queue = Arc::clone(queue);
    thread::spawn(move || drain(&queue))
}

fn drain(queue: &TaskQueue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop()).collect()
}

fn producer(queue: &Arc<TaskQueue<u32>>, items: &'static [u32]) -> thread::JoinHandle<()> {
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        for &item in items {
            queue.push(item).unwrap();
        }
    })
}

fn sorted(mut items: Vec<u32>) -> Vec<u32> {
    items.sort_unstable();
    items
}

#[test]
fn one_producer_one_consumer_keep_the_order() {
    for capacity in [1, 2] {
        every_interleaving(&format!("1 producer, 1 consumer, capacity {capacity}"), move || {
            let queue = queue(capacity);
            let producer = producer(&queue, &[1, 2, 3]);
            let consumer = consumer(&queue);
            producer.join().unwrap();
            queue.close();
            assert_eq!(consumer.join().unwrap(), [1, 2, 3]);
            assert!(queue.figures().peak <= queue.capacity());
        });
    }
}

#[test]
fn two_producers_who_wait_for_room_both_get_it() {
    every_interleaving("2 producers of one item, 1 consumer, capacity 1", || {
        let queue = queue(1);
        let producers = [producer(&queue, &[1]), producer(&queue, &[2])];
        let popped: Vec<u32> = (0..2).map_while(|_| queue.pop()).collect();
        for producer in producers {
            producer.join().unwrap();
        }
        assert_eq!(sorted(popped), [1, 2]);
    });
}

#[test]
fn each_of_two_producers_keeps_its_order() {
    with_preemptions("2 producers, 1 consumer, capacity 1", 3, || {
        let queue = queue(1);
        let first = producer(&queue, &[1, 2]);
        let second = producer(&queue, &[11]);
        let popped: Vec<u32> = (0..3).map_while(|_| queue.pop()).collect();
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(sorted(popped.clone()), [1, 2, 11]);
        assert_eq!(queue.figures().peak, 1);
        let one = popped.iter().position(|item| *item == 1);
        let two = popped.iter().position(|item| *item == 2);
        assert!(one < two, "{popped:?}");
    });
}

#[test]
fn two_consumers_share_what_comes_and_both_end() {
    every_interleaving("1 loop, 2 consumers, 1 item, close", || {
        let queue = queue(1);
        let consumers = [consumer(&queue), consumer(&queue)];
        queue.try_push(1).unwrap();
        queue.close();
        assert_eq!(consumers.map(|consumer| consumer.join().unwrap()).concat(), [1]);
    });
    with_preemptions("1 loop, 2 consumers, 2 items, close", 3, || {
        let queue = queue(2);
        let consumers = [consumer(&queue), consumer(&queue)];
        queue.try_push(1).unwrap();
        queue.try_push(2).unwrap();
        queue.close();
        let [first, second] = consumers.map(|consumer| consumer.join().unwrap());
        assert!(first.is_sorted() && second.is_sorted(), "{first:?} {second:?}");
        assert_eq!(sorted([first, second].concat()), [1, 2]);
    });
}

#[test]
fn two_consumers_get_one_item_each_with_nobody_closing() {
    every_interleaving("1 loop, 2 consumers of one item, capacity 2", || {
        let queue = queue(2);
        let consumers = [(), ()].map(|()| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.pop())
        });
        queue.try_push(1).unwrap();
        queue.try_push(2).unwrap();
        let popped = consumers.map(|consumer| consumer.join().unwrap().unwrap());
        assert_eq!(sorted(popped.to_vec()), [1, 2]);
    });
}

#[test]
fn two_places_are_for_two_waiting_producers() {
    every_interleaving("2 producers at a full queue of 2, both items popped", || {
        let queue = queue(2);
        queue.try_push(1).unwrap();
        queue.try_push(2).unwrap();
        let producers = [producer(&queue, &[3]), producer(&queue, &[4])];
        assert_eq!([queue.pop(), queue.pop()], [Some(1), Some(2)]);
        // Nobody pops any more: there is room for both, and both have to be told.
        for producer in producers {
            producer.join().unwrap();
        }
        queue.close();
        assert_eq!(sorted(drain(&queue)), [3, 4]);
        assert_eq!(queue.figures().peak, 2);
    });
}

#[test]
fn two_producers_and_two_consumers() {
    with_preemptions("2 producers, 2 consumers, capacity 1, close", 2, || {
        let queue = queue(1);
        let producers = [producer(&queue, &[1]), producer(&queue, &[2])];
        let consumers = [consumer(&queue), consumer(&queue)];
        for producer in producers {
            producer.join().unwrap();
        }
        queue.close();
        let popped = consumers.map(|consumer| consumer.join().unwrap());
        assert_eq!(sorted(popped.concat()), [1, 2]);
    });
}

#[test]
fn closing_wakes_every_idle_consumer() {
    every_interleaving("2 idle consumers, close", || {
        let queue = queue(1);
        let consumers = [consumer(&queue), consumer(&queue)];
        queue.close();
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), []);
        }
    });
}

#[test]
fn closing_wakes_every_waiting_producer_and_what_was_accepted_is_popped() {
    every_interleaving("2 producers at a full queue, close", || {
        let queue = queue(1);
        queue.try_push(0).unwrap();
        let producers = [1, 2].map(|item| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.push(item))
        });
        queue.close();
        let refused = producers.map(|producer| producer.join().unwrap());
        // There was never any room.
        assert_eq!(refused, [Err(Closed(1)), Err(Closed(2))]);
        assert_eq!(drain(&queue), [0]);
    });
}

#[test]
fn an_item_pushed_while_somebody_closes_is_either_popped_or_given_back() {
    every_interleaving("1 producer, 1 consumer, capacity 1, close in the middle", || {
        let queue = queue(1);
        let producer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || [queue.push(1), queue.push(2)])
        };
        let consumer = consumer(&queue);
        queue.close();
        let pushed = producer.join().unwrap();
        let accepted: Vec<u32> =
            [1, 2].into_iter().zip(&pushed).filter(|(_, p)| p.is_ok()).map(|(i, _)| i).collect();
        assert_eq!(consumer.join().unwrap(), accepted);
    });
}

#[test]
fn try_push_never_waits_for_room() {
    every_interleaving("a loop at a full queue beside a waiting producer", || {
        let queue = queue(1);
        queue.try_push(1).unwrap();
        let producer = producer(&queue, &[2]);
        // Nobody else pops: a loop that waited here would wait for ever.
        assert_eq!(queue.try_push(3), Err(TryPushError::Full(3)));
        assert_eq!(queue.pop(), Some(1));
        // The place is free, unless the producer was quicker.
        let taken = queue.try_push(4);
        let popped = [queue.pop().unwrap(), if taken.is_ok() { queue.pop().unwrap() } else { 4 }];
        assert_eq!(sorted(popped.to_vec()), [2, 4]);
        producer.join().unwrap();
        assert_eq!(queue.figures().peak, 1);
    });
}

#[test]
fn whoever_makes_room_learns_that_somebody_was_refused() {
    every_interleaving("a loop that was refused, 1 consumer", || {
        let queue = queue(1);
        queue.try_push(1).unwrap();
        let consumer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (queue.pop(), queue.take_refused()))
        };
        let refused = queue.try_push(2).is_err();
        let (popped, told) = consumer.join().unwrap();
        assert_eq!(popped, Some(1));
        assert_eq!(told, refused);
        assert!(!queue.take_refused());
    });
}
