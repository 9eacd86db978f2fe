"""The HTTP application: all blueprints, their errors and their document."""

from typing import Final

from quart_schema import Info, QuartSchema
from quart_trio import QuartTrio

from server.http import (
    addresses,
    admin,
    broadcasts,
    dead_letters,
    demo,
    devices,
    directory,
    events,
    health,
    history,
    holds,
    ledger,
    menu_purchases,
    menus,
    message_templates,
    mood_messages,
    pages,
    preferences,
    problem,
    room_mood,
    settings_history,
    skipped_events,
    stage,
    tip_menu,
    tips,
    toy_session,
    toy_settings,
    toy_test,
    webhooks,
)
from server.http.body import close_behind_unread_bodies
from server.http.openapi import StructProvider
from server.services import Services

BODY_BYTES_MAX: Final = 64 * 1024


def create_app(services: Services, socket_url: str) -> QuartTrio:
    """`socket_url`: what pages connect to; scheme, host and port, without a path."""
    app = QuartTrio("tiproom", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    QuartSchema(
        app,
        openapi_provider_class=StructProvider,
        # Their viewers load scripts from elsewhere; the document alone is served.
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(title="Tiproom", version="0.1.0"),
        security_schemes={"bearer": {"type": "http", "scheme": "bearer"}},
        conversion_preference="msgspec",
    )
    addresses.install(app)
    problem.install(app)
    pages.protect(app, socket_url, services.toy_sessions.page_hosts)
    close_behind_unread_bodies(app)
    for blueprint in (
        tips.blueprint(services),
        ledger.blueprint(services),
        holds.blueprint(services),
        directory.blueprint(services),
        preferences.blueprint(services),
        broadcasts.blueprint(services),
        toy_settings.blueprint(services),
        settings_history.blueprint(services),
        tip_menu.blueprint(services),
        menus.blueprint(services),
        menu_purchases.blueprint(services),
        stage.blueprint(services),
        admin.blueprint(services),
        events.blueprint(services),
        webhooks.blueprint(services),
        dead_letters.blueprint(services),
        skipped_events.blueprint(services),
        devices.blueprint(services),
        history.blueprint(services),
        toy_test.blueprint(services),
        mood_messages.blueprint(services),
        message_templates.blueprint(services),
        room_mood.blueprint(services),
        toy_session.blueprint(services),
        health.blueprint(services),
        pages.blueprint(),
    ):
        app.register_blueprint(blueprint)
    if services.settings.demo:
        app.register_blueprint(demo.blueprint(services, socket_url))
    return app
