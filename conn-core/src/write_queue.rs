//! Bytes that wait to be sent: a queue that is written at the back and sent from the front.

/// When this much has been sent from the front, and it is more than half, the rest moves down.
const COMPACT_ABOVE: usize = 64 * 1024;

/// A byte queue. An empty one that was [given back](WriteQueue::give_back) holds no memory.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    bytes: Vec<u8>,
    sent: usize,
}

impl WriteQueue {
    /// The bytes that wait, oldest first.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The end to append to.
    pub(crate) fn back(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes `count` bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.bytes.len(), "more was sent than was queued");
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > COMPACT_ABOVE && self.sent > self.bytes.len() / 2 {
            // Each byte is moved at most once for every byte sent: linear over the queue's life.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Borrows `spare` as the queue's memory if it has none.
    pub(crate) fn lend(&mut self, spare: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = std::mem::take(spare);
        }
    }

    /// Gives the memory of an empty queue back to `spare`, unless that has some already or there is
    /// more than `keep` bytes of it: then it is freed.
    pub(crate) fn give_back(&mut self, spare: &mut Vec<u8>, keep: usize) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            let bytes = std::mem::take(&mut self.bytes);
            if spare.capacity() == 0 && bytes.capacity() <= keep {
                *spare = bytes;
            }
        }
    }

    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::WriteQueue;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut queue = WriteQueue::default();
        let all: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        for (i, chunk) in all.chunks(1_000).enumerate() {
            queue.back().extend_from_slice(chunk);
            let take = queue.len().min(i * 7 % 1_900);
            out.extend_from_slice(&queue.waiting()[..take]);
            queue.consume(take);
        }
        out.extend_from_slice(queue.waiting());
        queue.consume(queue.len());
        assert!(out == all && queue.is_empty());
    }

    #[test]
    fn an_empty_queue_gives_its_memory_back() {
        let mut spare = Vec::with_capacity(100);
        let mut queue = WriteQueue::default();
        queue.lend(&mut spare);
        assert!(queue.capacity() >= 100 && spare.capacity() == 0);
        queue.back().push(1);
        queue.give_back(&mut spare, 1_000);
        assert_eq!(queue.len(), 1, "bytes that wait are kept");
        queue.consume(1);
        queue.give_back(&mut spare, 1_000);
        assert!(queue.capacity() == 0 && spare.capacity() >= 100);
    }

    #[test]
    fn memory_that_has_grown_too_large_is_freed() {
        let mut spare = Vec::new();
        let mut queue = WriteQueue::default();
        queue.back().resize(5_000, 0);
        queue.consume(5_000);
        queue.give_back(&mut spare, 1_000);
        assert!(queue.capacity() == 0 && spare.capacity() == 0);
    }
}
