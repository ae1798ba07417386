//! Flow metadata, message header and commands of the TC conversation (RTMP messages over flows, RFC 7425 §5).
