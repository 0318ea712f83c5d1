//! What an op must do on any medium.

use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Op};

use crate::medium::{BLOCK, Medium, blocks, has, segment, write};

const AREAS: [Area; 4] = [Area::Meta, Area::Base, Area::Sums, Area::Segment(SegmentId(1))];

fn apply(store: &impl Backend, ops: &[Op]) {
    for op in ops {
        store.apply(op).unwrap_or_else(|error| panic!("{op}: {error}"));
    }
}

pub fn bytes_written_are_read_back<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for (n, area) in (1..).zip(AREAS) {
        apply(
            &store,
            &[Op::Create(area), write(area, 0, &blocks(n, 3)), write(area, 4096, &blocks(n + 100, 1))],
        );
    }
    for (n, area) in (1..).zip(AREAS) {
        let expected = [blocks(n, 1), blocks(n + 100, 1), blocks(n, 1)].concat();
        has(&store, area, &expected);
    }
}

pub fn bytes_survive_closing_and_opening<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in AREAS {
        apply(&store, &[Op::Create(area), write(area, 8192, &blocks(7, 1))]);
    }
    drop(store);
    let store = medium.open();
    for area in AREAS {
        has(&store, area, &[blocks(0, 2), blocks(7, 1)].concat());
    }
}

pub fn read_at_the_end_is_short<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    apply(&store, &[Op::Create(Area::Base), write(Area::Base, 0, &blocks(5, 2))]);
    let mut buf = [0xEE; 3 * BLOCK];
    assert_eq!(store.read(Area::Base, 4096, &mut buf).unwrap(), BLOCK);
    assert!(buf[..BLOCK].iter().all(|byte| *byte == 5));
    assert_eq!(store.read(Area::Base, 8190, &mut buf[..4]).unwrap(), 2);
    assert_eq!(store.read(Area::Base, 8192, &mut buf).unwrap(), 0);
    assert_eq!(store.read(Area::Base, 1 << 40, &mut buf).unwrap(), 0);
    assert_eq!(store.read(Area::Base, 0, &mut []).unwrap(), 0);
}

pub fn absent_area_is_not_found<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in AREAS {
        assert_eq!(store.len(area).unwrap(), None);
        let error = store.read(area, 0, &mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains(&area.to_string()), "{error}");
        for op in [write(area, 0, &blocks(1, 1)), Op::Barrier(area)] {
            assert_eq!(store.apply(&op).unwrap_err().kind(), ErrorKind::NotFound, "{op}");
        }
        assert_eq!(store.len(area).unwrap(), None, "a refused op made the area");
    }
    let resize = Op::Resize { area: Area::Base, bytes: 4096 };
    assert_eq!(store.apply(&resize).unwrap_err().kind(), ErrorKind::NotFound);
    let reserve = Op::Reserve { segment: SegmentId(1), pages: 1 };
    assert_eq!(store.apply(&reserve).unwrap_err().kind(), ErrorKind::NotFound);
}

pub fn write_past_the_end_leaves_zeros_between<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    apply(&store, &[Op::Create(Area::Base), write(Area::Base, 100 * 4096, &blocks(9, 2))]);
    has(&store, Area::Base, &[blocks(0, 100), blocks(9, 2)].concat());
}

pub fn reserve_grows_with_zeros_and_keeps_what_is_there<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    // 200 pages are more than one piece of what is written at a time.
    let reserve = Op::Reserve { segment: SegmentId(1), pages: 200 };
    apply(&store, &[Op::Create(segment(1)), write(segment(1), 0, &blocks(3, 2)), reserve]);
    has(&store, segment(1), &[blocks(3, 2), blocks(0, 198)].concat());
    apply(&store, &[write(segment(1), 199 * 4096, &blocks(4, 1))]);
    assert_eq!(store.len(segment(1)).unwrap(), Some(200 * 4096));
    let again = Op::Reserve { segment: SegmentId(1), pages: 300 };
    apply(&store, &[again]);
    let expected = [blocks(3, 2), blocks(0, 197), blocks(4, 1), blocks(0, 100)].concat();
    has(&store, segment(1), &expected);
}

pub fn reserve_never_shrinks<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    let reserve = |pages| Op::Reserve { segment: SegmentId(1), pages };
    apply(
        &store,
        &[Op::Create(segment(1)), write(segment(1), 0, &blocks(3, 5)), reserve(2), reserve(5), reserve(0)],
    );
    has(&store, segment(1), &blocks(3, 5));
}

pub fn resize_cuts_and_grows_with_zeros<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in [Area::Base, Area::Sums] {
        let resize = |bytes| Op::Resize { area, bytes };
        apply(&store, &[Op::Create(area), write(area, 0, &blocks(6, 9)), resize(5000), resize(3 * 4096)]);
        let mut expected = blocks(6, 3);
        expected[5000..].fill(0);
        has(&store, area, &expected);
        apply(&store, &[resize(0), resize(4096)]);
        has(&store, area, &blocks(0, 1));
    }
}

pub fn resize_to_whole_blocks_cuts_for_good<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in [Area::Base, Area::Sums] {
        let resize = |bytes| Op::Resize { area, bytes };
        let shrunk = [Op::Create(area), write(area, 0, &blocks(6, 9)), resize(2 * 4096), resize(5 * 4096)];
        apply(&store, &shrunk);
        has(&store, area, &[blocks(6, 2), blocks(0, 3)].concat());
    }
}

pub fn create_keeps_what_is_there<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in AREAS {
        apply(&store, &[Op::Create(area), write(area, 0, &blocks(8, 1)), Op::Create(area)]);
    }
    drop(store);
    let store = medium.open();
    for area in AREAS {
        apply(&store, &[Op::Create(area)]);
        has(&store, area, &blocks(8, 1));
    }
}

pub fn removing_what_is_absent_is_fine<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    apply(&store, &[Op::Remove(SegmentId(12)), Op::BarrierDirectory, Op::Remove(SegmentId(12))]);
}

pub fn removed_segment_is_gone_and_its_number_starts_empty<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    // Whether an empty segment survives a reopening is the backend's own affair: in OPFS it does not.
    for n in [1, 2] {
        apply(&store, &[Op::Create(segment(n)), write(segment(n), 0, &blocks(1, 1))]);
    }
    apply(&store, &[Op::Remove(SegmentId(1))]);
    assert_eq!(store.segments().unwrap(), [SegmentId(2)]);
    assert_eq!(store.len(segment(1)).unwrap(), None);
    assert_eq!(store.read(segment(1), 0, &mut [0; 8]).unwrap_err().kind(), ErrorKind::NotFound);
    drop(store);
    let store = medium.open();
    assert_eq!(store.segments().unwrap(), [SegmentId(2)]);
    apply(&store, &[Op::Create(segment(1))]);
    assert_eq!(store.len(segment(1)).unwrap(), Some(0));
}

pub fn segments_are_listed_in_order<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    let ids = [10_000, 2, 999, 1, 9_999, 123_456_789, u64::MAX];
    for id in ids {
        apply(&store, &[Op::Create(segment(id))]);
    }
    apply(&store, &[Op::Create(Area::Base), Op::Create(Area::Meta), Op::Create(Area::Sums)]);
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(store.segments().unwrap(), sorted.map(SegmentId));
}

pub fn barriers_succeed_after_every_kind_of_change<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in AREAS {
        apply(
            &store,
            &[Op::Create(area), Op::Barrier(area), write(area, 0, &blocks(1, 1)), Op::Barrier(area)],
        );
    }
    let resize = Op::Resize { area: Area::Base, bytes: 100 * 4096 };
    let reserve = Op::Reserve { segment: SegmentId(1), pages: 10 };
    let remove = Op::Remove(SegmentId(1));
    apply(&store, &[resize, Op::Barrier(Area::Base), reserve, Op::Barrier(segment(1))]);
    apply(&store, &[Op::BarrierDirectory, remove, Op::BarrierDirectory, Op::BarrierDirectory]);
}

/// More segments than files may be open at a time.
pub fn many_segments_are_all_kept_right<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for n in 1..=200_u8 {
        let area = segment(u64::from(n));
        apply(&store, &[Op::Create(area), write(area, 0, &blocks(n, 1))]);
        if n % 3 != 0 {
            apply(&store, &[Op::Barrier(area)]);
        }
    }
    for n in (1..=200_u8).rev() {
        let area = segment(u64::from(n));
        apply(&store, &[write(area, 4096, &blocks(n, 1)), Op::Barrier(area)]);
        has(&store, area, &blocks(n, 2));
    }
    assert_eq!(store.segments().unwrap().len(), 200);
}

pub fn threads_on_different_areas_do_not_disturb_each_other<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    std::thread::scope(|scope| {
        for n in 1..=4_u8 {
            let store = &store;
            scope.spawn(move || {
                let area = segment(u64::from(n));
                apply(store, &[Op::Create(area)]);
                for at in 0..50 {
                    apply(store, &[write(area, at * 4096, &blocks(n, 1))]);
                }
                apply(store, &[Op::Barrier(area), Op::BarrierDirectory]);
                has(store, area, &blocks(n, 50));
            });
        }
    });
}

pub fn broken_ops_are_misuse_and_change_nothing<M: Medium>() {
    let medium = M::new();
    let store = medium.open();
    for area in AREAS {
        apply(&store, &[Op::Create(area), write(area, 0, &blocks(1, 1))]);
    }
    let broken = [
        write(Area::Base, 1, &blocks(2, 1)),
        write(Area::Base, 0, &[2; 100]),
        write(Area::Base, u64::MAX - 4095, &blocks(2, 1)),
        write(Area::Base, 1 << 63, &blocks(2, 1)),
        Op::Resize { area: Area::Base, bytes: u64::MAX },
        Op::Resize { area: Area::Meta, bytes: 0 },
        Op::Resize { area: segment(1), bytes: 0 },
    ];
    for op in broken {
        assert_eq!(store.apply(&op).unwrap_err().kind(), ErrorKind::Misuse, "{op}");
    }
    for area in AREAS {
        has(&store, area, &blocks(1, 1));
    }
}
