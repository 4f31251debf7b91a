//! The order in which pictures are shown, which is not that in which they are decoded where some are made
//! from later ones. Pure.
//!
//! No picture that is decoded later is shown before the time at which the decoding of this one is over. So
//! whatever is to be shown by then can go; and where nothing is out of order, nothing ever waits.

use std::collections::BTreeMap;

use super::Picture;
use crate::limits::REORDER_PICTURES_MAX;

/// Pictures that wait for earlier ones.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeMap<u64, Picture>);

impl Order {
    /// One more; where too many wait, the first of them goes into `out`.
    pub(super) fn push(&mut self, picture: Picture, out: &mut Vec<Picture>) {
        self.0.insert(picture.time_ns, picture);
        while self.0.len() > REORDER_PICTURES_MAX {
            out.extend(self.0.pop_first().map(|(_, picture)| picture));
        }
    }

    /// No earlier one than this will come: those up to it go into `out`.
    pub(super) fn until(&mut self, time_ns: u64, out: &mut Vec<Picture>) {
        while let Some(first) = self.0.first_entry().filter(|first| *first.key() <= time_ns) {
            out.push(first.remove());
        }
    }

    /// None will come.
    pub(super) fn drain(&mut self) -> Vec<Picture> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::Stamp;

    use super::*;
    use crate::picture::Arrival;

    fn picture(time_ns: u64) -> Picture {
        let arrival = Arrival { captured: None, received: Stamp::from_nanos(0) };
        let (y, u, v) = (Vec::new(), Vec::new(), Vec::new());
        Picture { width: 0, height: 0, y, u, v, time_ns, arrival }
    }

    fn shown(decoded: &[u64]) -> Vec<Vec<u64>> {
        let mut order = Order::default();
        let mut steps = Vec::new();
        for (at, &time) in decoded.iter().enumerate() {
            let mut out = Vec::new();
            order.push(picture(time), &mut out);
            order.until(at as u64 + 1, &mut out);
            steps.push(out.iter().map(|picture| picture.time_ns).collect());
        }
        steps.push(order.drain().iter().map(|picture| picture.time_ns).collect());
        steps
    }

    #[test]
    fn what_is_in_order_never_waits() {
        assert_eq!(shown(&[0, 1, 2]), [vec![0], vec![1], vec![2], vec![]]);
    }

    #[test]
    fn what_is_made_from_later_ones_is_put_between() {
        // Decoded: I P B B P; each is shown one later than it could be, so that there is time for them.
        let steps = shown(&[1, 4, 2, 3, 5]);
        assert_eq!(steps.concat(), [1, 2, 3, 4, 5]);
        assert_eq!(steps[0], [1]);
    }

    #[test]
    fn no_more_wait_than_a_stream_may_have() {
        let mut order = Order::default();
        let mut out = Vec::new();
        (100..200).for_each(|time| order.push(picture(time), &mut out));
        assert_eq!(out.len(), 100 - REORDER_PICTURES_MAX);
    }
}
