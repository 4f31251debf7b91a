//! Header fields of a request, read once and strictly: given twice is not given.

use std::{fmt::Display, str::FromStr};

use freshet_protocol::{ETag, ETagList, field::PREFER, wait_of};
use http::{HeaderMap, HeaderName, header};

/// Why a field cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FieldError {
    #[error("{name} is given {times} times, where once is right")]
    Repeated { name: HeaderName, times: usize },
    #[error("{name} has characters that are not visible ASCII")]
    NotText { name: HeaderName },
    #[error("{name}: {why}")]
    Value { name: HeaderName, why: String },
    #[error("{name} and {other} say the same: give one of them")]
    Both { name: HeaderName, other: HeaderName },
}

/// The value of a field that may be given once.
pub(super) fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, FieldError> {
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let times = 1 + values.count();
    if times > 1 {
        return Err(FieldError::Repeated { name, times });
    }
    value.to_str().map(Some).map_err(|_| FieldError::NotText { name })
}

/// The same, parsed.
pub(super) fn parsed<T>(headers: &HeaderMap, name: HeaderName) -> Result<Option<T>, FieldError>
where
    T: FromStr<Err: Display>,
{
    let Some(text) = one(headers, name.clone())? else { return Ok(None) };
    text.parse().map(Some).map_err(|why: T::Err| FieldError::Value { name, why: why.to_string() })
}

/// All values of a field that is a list.
pub(super) fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Does the list field name `media_type`, with whatever weight above nothing?
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let list = all(headers, &header::ACCEPT);
    let named = |item: &&str| {
        let mut parts = item.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type))
            && !parts.any(|part| part == "q=0")
    };
    list.split(',').any(|item| named(&item))
}

/// `If-Match` and `If-None-Match`: the tags of all their lines.
pub(super) fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<ETagList>, FieldError> {
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    let list = all(headers, &name).parse();
    list.map(Some).map_err(|why: freshet_protocol::ETagError| FieldError::Value {
        name,
        why: why.to_string(),
    })
}

/// `If-Range`: is it absent, or this very incarnation? A date never is: we give out none.
pub(super) fn if_range_holds(headers: &HeaderMap, etag: &ETag) -> bool {
    match headers.get(header::IF_RANGE) {
        None => true,
        Some(value) => {
            value.to_str().ok().and_then(|text| text.parse().ok()).as_ref() == Some(etag)
        }
    }
}

/// How long the request asks to wait.
pub(super) fn wait(headers: &HeaderMap) -> Option<std::time::Duration> {
    wait_of(&all(headers, &PREFER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        let given = headers(&[("range", "bytes=0-1"), ("have", "a")]);
        assert_eq!(one(&given, header::RANGE).unwrap(), Some("bytes=0-1"));
        assert_eq!(one(&given, header::IF_RANGE).unwrap(), None);
        let mut twice = given;
        twice.append(header::RANGE, "bytes=5-6".parse().unwrap());
        assert!(matches!(one(&twice, header::RANGE), Err(FieldError::Repeated { times: 2, .. })));
    }

    #[test]
    fn an_accept_list_is_searched_and_weights_are_minded() {
        let given = headers(&[("accept", "text/html;q=0.9, Multipart/ByteRanges ; q=1, a/b;q=0")]);
        assert!(accepts(&given, "text/html"));
        assert!(accepts(&given, "multipart/byteranges"));
        assert!(!accepts(&given, "a/b"));
        assert!(!accepts(&HeaderMap::new(), "text/html"));
    }

    #[test]
    fn if_range_wants_the_very_tag() {
        let tag = ETag::new("x").unwrap();
        assert!(if_range_holds(&HeaderMap::new(), &tag));
        assert!(if_range_holds(&headers(&[("if-range", "\"x\"")]), &tag));
        for other in ["\"y\"", "W/\"x\"", "Sat, 29 Oct 1994 19:43:31 GMT"] {
            assert!(!if_range_holds(&headers(&[("if-range", other)]), &tag), "{other}");
        }
    }
}
