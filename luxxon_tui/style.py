"""The style sheet of what stands on every screen, and over it: toasts, the command palette."""

APP_CSS = """
Screen { background: $background; color: $foreground; }
Toast { background: $surface; border-left: outer $accent; color: $foreground; }
CommandPalette > Vertical {
    background: $surface; width: 64; max-width: 100%; border-left: outer $accent;
}
CommandPalette #--input { height: 3; border: none; padding: 1 2; background: $surface; }
CommandPalette CommandInput, CommandPalette CommandInput:focus { border: none; height: 1; padding: 0; }
CommandPalette SearchIcon { display: none; }
CommandPalette CommandList, CommandPalette CommandList:focus {
    border: none; max-height: 16; background: $surface; scrollbar-size-vertical: 1;
    scrollbar-background: $surface; scrollbar-color: $lx-line; scrollbar-color-hover: $lx-faint;
    scrollbar-color-active: $accent; scrollbar-background-hover: $surface;
    scrollbar-background-active: $surface;
}
CommandPalette CommandList > .option-list--option { color: $foreground; padding: 0 2; }
CommandPalette CommandList > .option-list--option-highlighted { background: $panel; color: $lx-bright; }
CommandPalette > .command-palette--help-text { color: $lx-muted; text-style: not bold; }
CommandPalette > .command-palette--highlight { color: $accent; text-style: bold; }
"""
