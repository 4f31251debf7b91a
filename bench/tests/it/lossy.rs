//! A network that loses, repeats and reorders datagrams, between clients and a distributor on this machine.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::UdpSocket, sync::Mutex as AsyncMutex, time::sleep};

/// Of a hundred datagrams so many are lost, so many come twice, and so many come later than others.
const PERCENT: u64 = 5;

/// What is held back comes so much later.
const HELD: Duration = Duration::from_millis(30);

/// A network in front of 127.0.0.1, with the same ports.
pub(crate) struct Lossy {
    /// A socket at 127.0.0.2 for each port that the distributor has answered from.
    fronts: AsyncMutex<BTreeMap<u16, Arc<UdpSocket>>>,
    /// For each client, the socket that stands for it.
    clients: AsyncMutex<BTreeMap<SocketAddr, Arc<UdpSocket>>>,
    random: Mutex<u64>,
    /// Lost, repeated, held back.
    done: Mutex<[u64; 3]>,
}

impl Lossy {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            fronts: AsyncMutex::default(),
            clients: AsyncMutex::default(),
            random: Mutex::new(7),
            done: Mutex::default(),
        })
    }

    /// SplitMix64: the same chances each time.
    fn chance(&self) -> u64 {
        let mut state = self.random.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % 100
    }

    /// How many datagrams were lost, repeated and held back.
    pub(crate) fn done(&self) -> [u64; 3] {
        *self.done.lock().unwrap()
    }

    fn note(&self, what: usize) {
        self.done.lock().unwrap()[what] += 1;
    }

    /// Hand a datagram on, or not, or twice, or later.
    async fn pass(&self, socket: &Arc<UdpSocket>, datagram: &[u8], to: SocketAddr) {
        let chance = self.chance();
        if chance < PERCENT {
            return self.note(0);
        }
        if (2 * PERCENT..3 * PERCENT).contains(&chance) {
            self.note(2);
            let (socket, datagram) = (Arc::clone(socket), datagram.to_vec());
            begin(async move {
                sleep(HELD).await;
                let _ = socket.send_to(&datagram, to).await;
            });
            return;
        }
        let _ = socket.send_to(datagram, to).await;
        if (PERCENT..2 * PERCENT).contains(&chance) {
            self.note(1);
            let _ = socket.send_to(datagram, to).await;
        }
    }

    /// The socket that clients see as that port; what they send there goes on.
    pub(crate) async fn front(self: &Arc<Self>, port: u16) -> Arc<UdpSocket> {
        let mut fronts = self.fronts.lock().await;
        if let Some(front) = fronts.get(&port) {
            return Arc::clone(front);
        }
        let front = Arc::new(UdpSocket::bind(("127.0.0.2", port)).await.unwrap());
        fronts.insert(port, Arc::clone(&front));
        let (lossy, socket) = (Arc::clone(self), Arc::clone(&front));
        begin(async move {
            let mut buffer = [0; 1500];
            while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
                let to = SocketAddr::from(([127, 0, 0, 1], port));
                let stands = lossy.client(client).await;
                lossy.pass(&stands, &buffer[..len], to).await;
            }
        });
        front
    }

    /// The same, for a task that `front` itself has begun.
    fn known(
        self: &Arc<Self>,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = Arc<UdpSocket>> + Send + '_>> {
        Box::pin(self.front(port))
    }

    /// The socket that stands for a client; what comes there goes back to it.
    async fn client(self: &Arc<Self>, client: SocketAddr) -> Arc<UdpSocket> {
        let mut clients = self.clients.lock().await;
        if let Some(stands) = clients.get(&client) {
            return Arc::clone(stands);
        }
        let stands = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        clients.insert(client, Arc::clone(&stands));
        let (lossy, socket) = (Arc::clone(self), Arc::clone(&stands));
        begin(async move {
            let mut buffer = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let front = lossy.known(from.port()).await;
                lossy.pass(&front, &buffer[..len], client).await;
            }
        });
        stands
    }
}

#[allow(clippy::disallowed_methods, reason = "it ends with the runtime of the network")]
fn begin(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
