//! A window: shows the newest picture that it was given, and says which keys were pressed.
//!
//! It runs on the main thread, as windows have to; whoever shows pictures does so from another.

use std::{
    num::NonZeroU32,
    panic,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use softbuffer::{Context, Surface};
use winit::{
    application::ApplicationHandler,
    dpi::PhysicalSize,
    event::{ElementState, KeyEvent, WindowEvent},
    event_loop::{ActiveEventLoop, EventLoop, EventLoopProxy, OwnedDisplayHandle},
    keyboard::{Key, NamedKey},
    window::{Fullscreen, Window as Native, WindowAttributes, WindowId},
};

use super::{
    overlay,
    paint::paint,
    screen::{Back, Command, Frame, Screen, Seen, Stage, now},
};

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// There is nothing to open one on.
    #[error("there is no display to open a window on: {0}")]
    NoDisplay(String),
    /// The display does not do what is needed.
    #[error("the window cannot be painted: {0}")]
    Paint(String),
}

/// A window that shows pictures; it opens with the first of them.
#[derive(Debug)]
pub struct Window {
    event_loop: EventLoop<Wake>,
    shared: Arc<Mutex<Shared>>,
    back: Back,
    title: String,
}

#[derive(Clone, Copy, Debug)]
enum Wake {
    Show,
    Close,
}

/// What is to be shown.
#[derive(Debug, Default)]
struct Shared {
    frame: Option<Arc<Frame>>,
    line: String,
}

/// The side of it that is given pictures.
struct Giver {
    shared: Arc<Mutex<Shared>>,
    proxy: EventLoopProxy<Wake>,
}

impl Screen for Giver {
    fn show(&mut self, frame: Arc<Frame>) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).frame = Some(frame);
        // One that is closed has said so by its command.
        let _ = self.proxy.send_event(Wake::Show);
    }

    fn tell(&mut self, line: &str) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).line = line.to_owned();
        let _ = self.proxy.send_event(Wake::Show);
    }
}

impl Window {
    /// A window of this title, and the stage that shows in it. On the main thread only.
    ///
    /// # Errors
    ///
    /// There is no display.
    pub fn new(title: &str) -> Result<(Self, Stage), WindowError> {
        let built = EventLoop::with_user_event().build();
        let event_loop = built.map_err(|error| WindowError::NoDisplay(error.to_string()))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let proxy = event_loop.create_proxy();
        let giver = Giver { shared: Arc::clone(&shared), proxy };
        let mut kept = None;
        let stage = Stage::new(|back| {
            kept = Some(back);
            giver
        });
        let back = kept.ok_or_else(|| WindowError::Paint("it has no stage".into()))?;
        Ok((Self { event_loop, shared, back, title: title.to_owned() }, stage))
    }

    /// Show what is given by `work`, which runs on a thread of its own, until that ends or the window is closed;
    /// that is said to it by [`Command::Quit`]. How the window ended, and what came of the work.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> (Result<(), WindowError>, T) {
        let close = self.event_loop.create_proxy();
        thread::scope(|scope| {
            let working = scope.spawn(|| {
                let done = work();
                // One that is closed already needs no more.
                let _ = close.send_event(Wake::Close);
                done
            });
            let closed = self.show();
            let done = working.join();
            (closed, done.unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
        })
    }

    fn show(self) -> Result<(), WindowError> {
        let Self { event_loop, shared, back, title } = self;
        let context = Context::new(event_loop.owned_display_handle());
        let context = context.map_err(|error| WindowError::Paint(error.to_string()))?;
        let mut open =
            Open { context, shared, back, title, view: None, is_told: false, failed: None };
        let ended = event_loop.run_app(&mut open);
        ended.map_err(|error| WindowError::NoDisplay(error.to_string()))?;
        open.failed.map_or(Ok(()), Err)
    }
}

struct View {
    window: Rc<Native>,
    surface: Surface<OwnedDisplayHandle, Rc<Native>>,
}

struct Open {
    context: Context<OwnedDisplayHandle>,
    shared: Arc<Mutex<Shared>>,
    back: Back,
    title: String,
    view: Option<View>,
    /// Are the figures over the picture?
    is_told: bool,
    failed: Option<WindowError>,
}

impl Open {
    fn shared(&self) -> (Option<Arc<Frame>>, String) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (shared.frame.clone(), shared.line.clone())
    }

    /// A window as large as the first picture.
    fn open(&self, event_loop: &ActiveEventLoop) -> Result<Option<View>, WindowError> {
        let Some(frame) = self.shared().0 else { return Ok(None) };
        let side = |points: usize| u32::try_from(points).unwrap_or(u32::MAX);
        let size = PhysicalSize::new(side(frame.picture.width), side(frame.picture.height));
        let attributes = WindowAttributes::default().with_title(&self.title).with_inner_size(size);
        let window = event_loop.create_window(attributes);
        let window = Rc::new(window.map_err(|error| WindowError::NoDisplay(error.to_string()))?);
        let surface = Surface::new(&self.context, Rc::clone(&window));
        let surface = surface.map_err(|error| WindowError::Paint(error.to_string()))?;
        Ok(Some(View { window, surface }))
    }

    /// Paint the newest picture, and say that it is seen.
    fn paint(&mut self) -> Result<(), WindowError> {
        let (frame, line) = self.shared();
        let (Some(view), Some(frame)) = (&mut self.view, frame) else { return Ok(()) };
        let size = view.window.inner_size();
        let sides = (NonZeroU32::new(size.width), NonZeroU32::new(size.height));
        let (Some(width), Some(height)) = sides else { return Ok(()) };
        let failed = |error: softbuffer::SoftBufferError| WindowError::Paint(error.to_string());
        view.surface.resize(width, height).map_err(failed)?;
        let mut buffer = view.surface.buffer_mut().map_err(failed)?;
        let width = usize::try_from(width.get()).unwrap_or_default();
        paint(&frame.picture, &mut buffer, width);
        if self.is_told {
            overlay::write(&line, &mut buffer, width);
        }
        buffer.present().map_err(failed)?;
        // Where nobody takes note any more, nothing has to be noted.
        let _ = self.back.seen.try_send(Seen { number: frame.number, at: now() });
        Ok(())
    }

    fn press(&mut self, event_loop: &ActiveEventLoop, key: &Key) {
        let command = match key {
            Key::Named(NamedKey::Space) => Command::Pause,
            Key::Named(NamedKey::ArrowLeft) => Command::Back,
            Key::Named(NamedKey::ArrowRight) => Command::Forward,
            Key::Named(NamedKey::ArrowUp | NamedKey::Home) => Command::Live,
            Key::Named(NamedKey::Escape) => Command::Quit,
            Key::Character(letter) => match letter.as_str() {
                "q" => Command::Quit,
                "l" => Command::Live,
                "m" => Command::Mute,
                "i" => return self.toggle_told(),
                "f" => return self.toggle_fullscreen(),
                _ => return,
            },
            _ => return,
        };
        if command == Command::Quit {
            event_loop.exit();
        }
        // Whoever presses keys faster than they are obeyed presses them again.
        let _ = self.back.commands.try_send(command);
    }

    fn toggle_told(&mut self) {
        self.is_told = !self.is_told;
        self.redraw();
    }

    fn toggle_fullscreen(&self) {
        let Some(view) = &self.view else { return };
        let is_full = view.window.fullscreen().is_some();
        view.window.set_fullscreen((!is_full).then_some(Fullscreen::Borderless(None)));
    }

    fn redraw(&self) {
        if let Some(view) = &self.view {
            view.window.request_redraw();
        }
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: WindowError) {
        self.failed = Some(error);
        let _ = self.back.commands.try_send(Command::Quit);
        event_loop.exit();
    }
}

impl ApplicationHandler<Wake> for Open {
    fn resumed(&mut self, _: &ActiveEventLoop) {}

    fn user_event(&mut self, event_loop: &ActiveEventLoop, wake: Wake) {
        match wake {
            Wake::Close => event_loop.exit(),
            Wake::Show if self.view.is_some() => {
                if let Err(error) = self.paint() {
                    self.fail(event_loop, error);
                }
            }
            Wake::Show => match self.open(event_loop) {
                Ok(view) => self.view = view,
                Err(error) => self.fail(event_loop, error),
            },
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested => {
                let _ = self.back.commands.try_send(Command::Quit);
                event_loop.exit();
            }
            WindowEvent::RedrawRequested => {
                if let Err(error) = self.paint() {
                    self.fail(event_loop, error);
                }
            }
            WindowEvent::KeyboardInput {
                event: KeyEvent { logical_key, state: ElementState::Pressed, .. },
                ..
            } => self.press(event_loop, &logical_key),
            _ => {}
        }
    }
}
