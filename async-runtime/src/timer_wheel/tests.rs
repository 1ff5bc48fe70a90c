use super::*;
use std::collections::BTreeMap;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Advances to `now` and gives what is due, sorted.
fn due(wheel: &mut TimerWheel<u64>, now: Duration) -> Vec<u64> {
    let mut due = Vec::new();
    wheel.advance(now, &mut due);
    due.sort_unstable();
    due
}

#[test]
fn a_timer_is_due_at_its_tick_and_not_before() {
    for at in [1, 2, 63, 64, 65, 127, 128, 4_095, 4_096, 4_097, 262_144, 1 << 40, 1 << 50] {
        let mut wheel = TimerWheel::new(1);
        wheel.insert(ms(at), at);
        assert_eq!(due(&mut wheel, ms(at - 1)), [], "{at}");
        assert_eq!(due(&mut wheel, ms(at)), [at]);
        assert_eq!(wheel.next(), None);
    }
}

#[test]
fn part_of_a_tick_counts_as_a_whole_one() {
    let mut wheel = TimerWheel::new(500);
    wheel.insert(Duration::from_nanos(500_000_001), 1);
    assert_eq!(due(&mut wheel, ms(999)), []);
    assert_eq!(due(&mut wheel, ms(1_000)), [1]);
}

#[test]
fn a_deadline_that_has_passed_is_due_at_the_next_tick() {
    let mut wheel = TimerWheel::new(1);
    assert_eq!(due(&mut wheel, ms(100)), []);
    wheel.insert(ms(7), 7);
    assert_eq!(wheel.next(), Some(ms(101)));
    assert_eq!(due(&mut wheel, ms(101)), [7]);
}

#[test]
fn a_cancelled_timer_is_not_due_and_its_key_is_nobody_elses() {
    let mut wheel = TimerWheel::new(1);
    let keys: Vec<TimerKey> = (0..5).map(|value| wheel.insert(ms(10), value)).collect();
    // From the middle, the head and the end of one slot's list.
    for index in [2, 4, 0] {
        assert_eq!(wheel.cancel(keys[index]), Some(index as u64));
        assert_eq!(wheel.cancel(keys[index]), None);
    }
    let reused = wheel.insert(ms(10), 9);
    assert_eq!(wheel.cancel(keys[0]), None, "the entry is used again, the key is not");
    assert_eq!(due(&mut wheel, ms(10)), [1, 3, 9]);
    assert_eq!(wheel.cancel(reused), None);
    assert_eq!(wheel.next(), None);
}

#[test]
fn a_wheel_without_timers_asks_for_nothing() {
    let mut wheel = TimerWheel::new(1);
    let key = wheel.insert(ms(5_000), 1);
    assert!(wheel.next().is_some());
    wheel.cancel(key);
    assert_eq!(wheel.next(), None);
}

#[test]
fn a_distant_timer_wakes_its_owner_a_few_times_only() {
    let mut wheel = TimerWheel::new(1);
    // Not at the start of a slot, so that it is filed anew on every level.
    wheel.insert(ms(86_399_999), 1);
    let mut turns = 0;
    while let Some(next) = wheel.next() {
        turns += 1;
        let due = due(&mut wheel, next);
        assert_eq!(due.is_empty(), next < ms(86_399_999));
    }
    assert_eq!(turns, 5, "once a level");
}

/// Against the obvious: a sorted map, and times that jump.
#[test]
fn a_wheel_agrees_with_a_sorted_map() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut wheel = TimerWheel::new(1);
    let mut model: BTreeMap<(u64, u64), TimerKey> = BTreeMap::new();
    let (mut now, mut name) = (0_u64, 0_u64);
    for _ in 0..50_000 {
        match random.u8(0..10) {
            0..=4 => {
                name += 1;
                let distance = 1 << random.u32(0..24);
                let at = now + random.u64(1..=distance);
                model.insert((at, name), wheel.insert(ms(at), name));
            }
            5..=7 => {
                let chosen = model.keys().nth(random.usize(0..model.len().max(1))).copied();
                if let Some(chosen) = chosen {
                    let key = model.remove(&chosen).expect("chosen from it");
                    assert_eq!(wheel.cancel(key), Some(chosen.1));
                }
            }
            _ => {
                let distance = 1 << random.u32(0..16);
                now += random.u64(0..distance);
                let expected: Vec<u64> = {
                    let rest = model.split_off(&(now + 1, 0));
                    let mut names: Vec<u64> = model.keys().map(|(_, name)| *name).collect();
                    model = rest;
                    names.sort_unstable();
                    names
                };
                assert_eq!(due(&mut wheel, ms(now)), expected, "at {now}");
            }
        }
        assert_eq!(wheel.len(), model.len());
        let first = model.keys().next().map(|(at, _)| ms(*at));
        assert!(wheel.next() <= first || first.is_none());
        assert_eq!(wheel.next().is_some(), first.is_some());
    }
}
