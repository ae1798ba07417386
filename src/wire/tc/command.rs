//! Commands and data: messages whose body is AMF0 values.

use bytes::{Bytes, BytesMut};

use super::{Info, TcError, message_type, start};
use crate::wire::amf0::{self, Value};

/// A call, or the answer to one. Defined by: RTMP 1.0, §7.2.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What is called: `connect`, `play`, `_result`, `onStatus` …
    pub name: String,
    /// Number that the answer repeats; 0 when no answer is wanted.
    pub transaction: f64,
    /// The "command object": of meaning in `connect` only.
    pub object: Value,
    /// What follows it.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A call with a null command object.
    pub fn new(name: &str, transaction: f64, arguments: Vec<Value>) -> Self {
        Self { name: name.to_owned(), transaction, object: Value::Null, arguments }
    }

    /// The answer `_result` to the call `transaction`.
    pub fn result(transaction: f64, value: impl Into<Value>) -> Self {
        Self::new("_result", transaction, vec![value.into()])
    }

    /// The answer `_error` to the call `transaction`.
    pub fn error(transaction: f64, info: Info) -> Self {
        Self::new("_error", transaction, vec![info.into()])
    }

    /// The notice `onStatus`.
    pub fn on_status(info: Info) -> Self {
        Self::new("onStatus", 0.0, vec![info.into()])
    }

    /// The argument at `index`, counted from 0 after the command object.
    pub fn argument(&self, index: usize) -> Option<&Value> {
        self.arguments.get(index)
    }

    /// The code in a notice or answer: `NetStream.Play.Start` …
    pub fn status_code(&self) -> Option<&str> {
        self.argument(0)?.get("code")?.as_str()
    }

    /// Writes a whole message, header first, at time 0.
    pub fn encode(&self) -> Bytes {
        self.encode_at(0)
    }

    /// Writes a whole message, header first, for commands that tell a time (`NetStream.Play.UnpublishNotify`).
    pub fn encode_at(&self, timestamp: u32) -> Bytes {
        let mut message = start(message_type::COMMAND_AMF0, timestamp);
        self.put_body(&mut message);
        message.freeze()
    }

    /// Writes the body of a message of type [`message_type::COMMAND_AMF0`].
    pub fn encode_body(&self) -> Bytes {
        let mut body = BytesMut::new();
        self.put_body(&mut body);
        body.freeze()
    }

    /// Reads the body of a message of type [`message_type::COMMAND_AMF0`]. A missing command object is null.
    ///
    /// # Errors
    /// [`TcError::Malformed`] when it doesn't start with a string and a number, [`TcError::Amf0`].
    pub fn decode(body: &[u8]) -> Result<Self, TcError> {
        let mut values = amf0::decode_all(body)?.into_iter();
        let (Some(Value::String(name)), Some(Value::Number(transaction))) = (values.next(), values.next()) else {
            return Err(TcError::Malformed { what: "command" });
        };
        let object = values.next().unwrap_or(Value::Null);
        Ok(Self { name, transaction, object, arguments: values.collect() })
    }

    fn put_body(&self, out: &mut BytesMut) {
        amf0::encode(&[Value::from(self.name.as_str()), Value::Number(self.transaction)], out);
        amf0::encode(std::slice::from_ref(&self.object), out);
        amf0::encode(&self.arguments, out);
    }
}

/// A data message: `onMetaData`, `|RtmpSampleAccess` … Defined by: RTMP 1.0, §7.1.2.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// What it is.
    pub name: String,
    /// What follows the name.
    pub values: Vec<Value>,
}

impl Data {
    /// A data message.
    pub fn new(name: &str, values: Vec<Value>) -> Self {
        Self { name: name.to_owned(), values }
    }

    /// Writes a whole message, header first.
    pub fn encode(&self, timestamp: u32) -> Bytes {
        let mut message = start(message_type::DATA_AMF0, timestamp);
        amf0::encode(&[Value::from(self.name.as_str())], &mut message);
        amf0::encode(&self.values, &mut message);
        message.freeze()
    }

    /// Reads the body of a message of type [`message_type::DATA_AMF0`].
    ///
    /// # Errors
    /// [`TcError::Malformed`] when it doesn't start with a string, [`TcError::Amf0`].
    pub fn decode(body: &[u8]) -> Result<Self, TcError> {
        let mut values = amf0::decode_all(body)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(TcError::Malformed { what: "data message" });
        };
        Ok(Self { name, values: values.collect() })
    }
}
