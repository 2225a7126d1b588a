// A command of arbitrary bytes, as the daemon gets it from a client. What is accepted is a command
// of the table with arguments within its bounds, and comes out the same when it is sent again.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "commands/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ctl ctl = {0}, again = {0};
    struct wire_command command, repeated;
    struct buf sent = {0};
    uint8_t *body = malloc(size ? size : 1); // exactly as large, so that no byte beyond is touched
    assert(body);
    memcpy(body, data, size);
    if (!wire_get_command(slice_of(body, size), &ctl, &command)) {
        assert(ctl.arg_count >= ctl.command->least && ctl.arg_count <= ctl.command->most);
        assert(*ctl.db && *command.cwd == '/' && !(ctl.command->flags & COMMAND_OFFLINE));
        assert(!wire_put_command(&ctl, &command, &sent));
        assert(!wire_get_command(buf_slice(&sent), &again, &repeated));
        assert(again.command == ctl.command && again.arg_count == ctl.arg_count);
        for (int i = 0; i < ctl.arg_count; i++)
            assert(!strcmp(ctl.args[i], again.args[i]));
        for (int i = 0; i < 128; i++)
            assert(!ctl.options[i] == !again.options[i]);
        free(ctl.args);
        free(again.args);
        buf_release(&sent);
    }
    free(body);
    return 0;
}
