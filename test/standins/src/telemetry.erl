%% Stands in for the telemetry application: handlers run in the process that executes the event, and one that fails is
%% detached and reported, never passed on.
-module(telemetry).

-export([start_table/0, attach/4, attach_many/4, detach/1, execute/3, span/3]).

-include_lib("kernel/include/logger.hrl").

-define(TABLE, telemetry_handler_table).

%% Owned by whoever calls it: the application's start.
start_table() ->
    ?TABLE = ets:new(?TABLE, [duplicate_bag, public, named_table, {keypos, 2}, {read_concurrency, true}]),
    ok.

attach(Id, Event, Function, Config) ->
    attach_many(Id, [Event], Function, Config).

attach_many(Id, Events, Function, Config) when is_function(Function, 4) ->
    [true = is_event(Event) || Event <- Events],
    case ets:match(?TABLE, {Id, '_', '_', '_'}, 1) of
        '$end_of_table' ->
            true = ets:insert(?TABLE, [{Id, Event, Function, Config} || Event <- Events]),
            ok;
        _ ->
            {error, already_exists}
    end.

detach(Id) ->
    case ets:select_delete(?TABLE, [{{Id, '_', '_', '_'}, [], [true]}]) of
        0 -> {error, not_found};
        _ -> ok
    end.

execute([_ | _] = Event, Measurements, Metadata) when is_map(Measurements), is_map(Metadata) ->
    lists:foreach(fun(Handler) -> call(Handler, Measurements, Metadata) end, handlers(Event)).

span(Prefix, StartMetadata, Function) ->
    Start = erlang:monotonic_time(),
    Context = erlang:make_ref(),
    execute(
        Prefix ++ [start],
        #{monotonic_time => Start, system_time => erlang:system_time()},
        with_context(StartMetadata, Context)
    ),
    try Function() of
        {Result, Metadata} ->
            stop(Prefix, Start, #{}, with_context(Metadata, Context)),
            Result;
        {Result, Measurements, Metadata} ->
            stop(Prefix, Start, Measurements, with_context(Metadata, Context)),
            Result
    catch
        Class:Reason:Stacktrace ->
            Stop = erlang:monotonic_time(),
            Failure = StartMetadata#{kind => Class, reason => Reason, stacktrace => Stacktrace},
            execute(
                Prefix ++ [exception],
                #{duration => Stop - Start, monotonic_time => Stop},
                with_context(Failure, Context)
            ),
            erlang:raise(Class, Reason, Stacktrace)
    end.

stop(Prefix, Start, Measurements, Metadata) ->
    Stop = erlang:monotonic_time(),
    execute(Prefix ++ [stop], Measurements#{duration => Stop - Start, monotonic_time => Stop}, Metadata).

call({Id, Event, Function, Config}, Measurements, Metadata) ->
    try
        Function(Event, Measurements, Metadata, Config)
    catch
        Class:Reason:Stacktrace ->
            detach(Id),
            ?LOG_ERROR("Handler ~p has failed and has been detached: ~p ~p ~p", [Id, Class, Reason, Stacktrace])
    end.

handlers(Event) ->
    try
        ets:lookup(?TABLE, Event)
    catch
        error:badarg ->
            ?LOG_WARNING("Failed to lookup telemetry handlers: the telemetry application is not started"),
            []
    end.

is_event([_ | _] = Event) -> lists:all(fun is_atom/1, Event);
is_event(_) -> false.

with_context(#{telemetry_span_context := _} = Metadata, _Context) -> Metadata;
with_context(Metadata, Context) -> Metadata#{telemetry_span_context => Context}.
