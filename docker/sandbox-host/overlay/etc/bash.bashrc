# For interactive shells only, login shells included (/etc/profile reads this file).
[ -z "${PS1-}" ] && return

shopt -s checkwinsize histappend
HISTCONTROL=ignoreboth HISTSIZE=5000 HISTFILESIZE=5000
alias ls='ls --color=auto' grep='grep --color=auto' ip='ip -color=auto'

if [ -z "${BASH_COMPLETION_VERSINFO-}" ] && [ -r /usr/share/bash-completion/bash_completion ]; then
	. /usr/share/bash-completion/bash_completion
fi

# OSC 133 marks where a prompt starts (A), where the command starts (B), where its output starts (C)
# and with what code it ended (D), so that a terminal can find one command's output.
__mark_end() {
	local code=$?
	printf '\e]133;D;%s\a' "$code"
	return "$code"
}
case $HOSTNAME in
destination) __host_colour=93 ;;
*) __host_colour=96 ;;
esac
PROMPT_COMMAND=__mark_end
PS0='\e]133;C\a'
PS1='\[\e]133;A\a\]\u@\[\e['$__host_colour'm\]\h\[\e[0m\]:\w\$ \[\e]133;B\a\]'
unset __host_colour
